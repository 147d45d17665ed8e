"""Writes audit log entries for a saved admin form: old and new values; for keys only that they were set."""

from datetime import datetime
from functools import partial
from typing import Any

from django import forms
from django.db.models import Q

from connector_project.core.admin.edit_forms import SecretField
from tenants import audit, permissions
from tenants.models import AuditLogEntry, Tenant

Action = AuditLogEntry.Action


def log_form(tenant: Tenant | None, form: Any, *, is_new: bool, by: Any, now: datetime) -> None:
    """Write an entry for each changed field of a form; `tenant` is None for a row of the whole system."""
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
        log(Action.ADDED if is_new else Action.CHANGED, old=_logged(name, old), new=_logged(name, new))


def log_formset(tenant: Tenant, formset: Any, *, by: Any, now: datetime) -> None:
    """Write the changes of a saved formset, including added and removed rows."""
    for row in formset.deleted_objects:
        audit.log(tenant, Action.REMOVED, now=now, by=by, target=row)
    for form in formset.forms:
        if form.has_changed() and form not in formset.deleted_forms:
            log_form(tenant, form, is_new=form in formset.extra_forms, by=by, now=now)


def last_change(form: Any, name: str) -> AuditLogEntry | None:
    """Return the entry of the change that gave a field its present value; None if it came in another way."""
    row, field = form.instance, form.fields[name]
    by_hand = Q(action__in=(Action.ADDED, Action.CHANGED), field=name)
    if isinstance(field, SecretField):
        by_hand = Q(action=Action.KEY_SET, field__in=("", name))
    tenant = row if isinstance(row, Tenant) else getattr(row, "tenant", None)
    entry = audit.entries_for(row, tenant).filter(by_hand).first()
    is_same = entry and (entry.action == Action.KEY_SET or entry.new == _stored(form, name))
    return entry if is_same else None


def _stored(form: Any, name: str) -> str:
    return _logged(name, _comparable(form.fields[name], form.stored_value(name)))


def _logged(name: str, value: object) -> str:
    """Return what an entry has of a value: no whole number, as the log outlives calls and everybody may read it."""
    text = audit.shown(value)
    return permissions.masked_list(text) if name == audit.CONTACTS else text


def _comparable(field: forms.Field, value: Any) -> object:
    """Convert a form value so that an entry can compare and store it."""
    if isinstance(field, forms.ModelMultipleChoiceField):
        return sorted(str(one) for one in value or ())
    if isinstance(field, forms.ModelChoiceField) and isinstance(value, int):
        return field.queryset.filter(pk=value).first() if field.queryset is not None else value
    return value
