"""Writes audit log entries for a saved admin form: old and new values; for keys only that they were set."""

from datetime import datetime
from functools import partial
from typing import Any

from django import forms

from connector_project.core.admin.edit_forms import SecretField
from tenants import audit, permissions
from tenants.models import AuditLogEntry, Tenant

Action = AuditLogEntry.Action


def log_form(tenant: Tenant, form: Any, *, is_new: bool, by: Any, now: datetime) -> None:
    """Write an entry for each changed field of a form."""
    for name in form.changed_data:
        field = form.fields[name]
        log = partial(audit.log, tenant, now=now, by=by, target=form.instance, field=name)
        if isinstance(field, SecretField):
            log(Action.KEY_SET)
            continue
        old = "" if is_new else _comparable(field, form.initial.get(name))
        new = _comparable(field, form.cleaned_data.get(name))
        if audit.shown(old) == audit.shown(new):
            continue
        if name == audit.CONTACTS:  # The log is kept longer than any call, and everybody may read it.
            old, new = permissions.masked_list(audit.shown(old)), permissions.masked_list(audit.shown(new))
        log(Action.ADDED if is_new else Action.CHANGED, old=old, new=new)


def log_formset(tenant: Tenant, formset: Any, *, by: Any, now: datetime) -> None:
    """Write the changes of a saved formset, including added and removed rows."""
    for row in formset.deleted_objects:
        audit.log(tenant, Action.REMOVED, now=now, by=by, target=row)
    for form in formset.forms:
        if form.has_changed() and form not in formset.deleted_forms:
            log_form(tenant, form, is_new=form in formset.extra_forms, by=by, now=now)


def _comparable(field: forms.Field, value: Any) -> object:
    """Convert a form value so that an entry can compare and store it."""
    if isinstance(field, forms.ModelMultipleChoiceField):
        return sorted(str(one) for one in value or ())
    if isinstance(field, forms.ModelChoiceField) and isinstance(value, int):
        return field.queryset.filter(pk=value).first() if field.queryset is not None else value
    return value
