"""Writes audit log entries for a saved admin form: old and new values; for keys only that they were set."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms

from tenants import audit
from tenants.forms import SecretField
from tenants.models import AuditLogEntry, Tenant

Verb = AuditLogEntry.Action


@dataclass(frozen=True)
class FormAuditor:
    """Writes the audit log entries of one saved tenant page."""

    tenant: Tenant
    by: Any
    now: datetime

    def note_form(self, form: Any, *, is_new: bool) -> None:
        """Write an entry for each changed field of a form."""
        before: dict[str, object] = {}
        after: dict[str, object] = {}
        for name in form.changed_data:
            field = form.fields[name]
            if isinstance(field, SecretField):
                audit.log(self.tenant, Verb.KEY_SET, now=self.now, by=self.by, target=form.instance, field=name)
            else:
                before[name] = "" if is_new else _comparable(field, form.initial.get(name))
                after[name] = _comparable(field, form.cleaned_data.get(name))
        action = Verb.ADDED if is_new else Verb.CHANGED
        audit.log_changes(
            self.tenant, now=self.now, by=self.by, target=form.instance, before=before, after=after, action=action
        )

    def note_formset(self, formset: Any) -> None:
        """Write the changes of a saved formset, including added and removed rows."""
        for row in formset.deleted_objects:
            audit.log(self.tenant, Verb.REMOVED, now=self.now, by=self.by, target=row)
        for form in formset.forms:
            if form.has_changed() and form not in formset.deleted_forms:
                self.note_form(form, is_new=form in formset.extra_forms)


def _comparable(field: forms.Field, value: Any) -> object:
    """Convert a form value so that an entry can compare and store it."""
    if isinstance(field, forms.ModelMultipleChoiceField):
        return sorted(str(one) for one in value or ())
    if isinstance(field, forms.ModelChoiceField) and isinstance(value, int):
        return field.queryset.filter(pk=value).first() if field.queryset is not None else value
    return value
