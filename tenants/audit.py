"""Writes and renders audit log entries; keys are never logged, only that one was set."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Required, TypedDict, Unpack

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import QuerySet
from django.utils.text import capfirst
from django.utils.translation import gettext

from tenants import permissions, status_labels
from tenants.models import AuditLogEntry, CrmConnection, RuleDraft, RuleVersion, Tenant, UisConnection, User
from tenants.rules import NAMES, Rules

Actor = User | AnonymousUser | None
CONTACTS = "contacts"
# The `field` of an entry about signing in, whose `new` is the client's address.
ADDRESS = "address"
# A tenant has exactly one of each: the model name identifies it.
_ONE_PER_TENANT = (Tenant, UisConnection, CrmConnection, RuleDraft)
# Actions whose entries name a field; others have there what a person typed.
_OF_A_FIELD = {
    one.value for one in (AuditLogEntry.Action.ADDED, AuditLogEntry.Action.CHANGED, AuditLogEntry.Action.KEY_SET)
}
_COUNT = re.compile(r"\d{1,6}|True|False")


class EntryDetails(TypedDict, total=False):
    """The details of an entry apart from tenant and action."""

    now: Required[datetime]
    by: Actor
    by_client: bool
    target: object
    field: object
    old: object
    new: object


@dataclass(frozen=True)
class RenderedEntry:
    """An entry rendered in the active language."""

    target: str
    field: str
    old: str
    new: str


def log(tenant: Tenant | None, action: AuditLogEntry.Action, **details: Unpack[EntryDetails]) -> None:
    """Write one entry. `by` is the staff user; None or anonymous means the client or the CRM.

    `tenant` is None for entries about the whole system.
    """
    build_entry(tenant, action, **details).save()


def build_entry(tenant: Tenant | None, action: AuditLogEntry.Action, **details: Unpack[EntryDetails]) -> AuditLogEntry:
    """Return an unsaved entry, for bulk creation."""
    by = details.get("by")
    return AuditLogEntry(
        tenant=tenant,
        tenant_name=tenant.name if tenant else "",
        at=details["now"],
        user=by if isinstance(by, get_user_model()) else None,
        by_client=details.get("by_client", False),
        action=action,
        object_repr=_object_name(details.get("target", ""))[:250],
        field=str(details.get("field", ""))[:100],
        old=shown(details.get("old", "")),
        new=shown(details.get("new", "")),
    )


def log_beginning(version: RuleVersion, *, by: Actor, now: datetime) -> None:
    """Write an entry for each rule with which a new client begins, where it is not the default."""
    default = Rules()
    for name in NAMES:
        if (value := getattr(version.value, name)) != getattr(default, name):
            added = {"target": version, "field": name, "new": value}
            log(version.tenant, AuditLogEntry.Action.ADDED, by=by, now=now, **added)


def entries_for(target: models.Model, tenant: Tenant | None) -> QuerySet[AuditLogEntry]:
    """Return the entries of one object, newest first; `tenant` is None for objects of the whole system."""
    return AuditLogEntry.objects.filter(tenant=tenant, object_repr=_object_name(target)).select_related("user")


def forget_people(tenant: Tenant) -> None:
    """Delete from a tenant's entries what they say of customers and staff: values, typed reasons, names of objects.

    Who did what and when stays, with the kind of object, the field and counts. Needs a transaction.
    """
    entries = list(AuditLogEntry.objects.filter(tenant=tenant).order_by("pk"))
    for entry in entries:
        entry.object_repr = entry.object_repr.partition(" ")[0] if entry.object_repr[:1].isalpha() else ""
        if entry.action not in _OF_A_FIELD:
            entry.field = ""
        entry.old, entry.new = (value if _COUNT.fullmatch(value) else "" for value in (entry.old, entry.new))
    AuditLogEntry.objects.bulk_update(entries, ["object_repr", "field", "old", "new"], batch_size=500)


def shown(value: object) -> str:
    """Format a value for display."""
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(one) for one in value)
    return str(value)


def render(change: AuditLogEntry) -> RenderedEntry:
    """Render an entry: names of objects, fields and choices in the active language."""
    model_name, _space, rest = change.object_repr.partition(" ")
    model = next((model for model in apps.get_models() if model._meta.model_name == model_name), None)
    if model is None:
        return RenderedEntry(change.object_repr, change.field, change.old, change.new)
    target = f"{capfirst(str(model._meta.verbose_name))} {rest}".strip()
    if model is User and change.field == ADDRESS:
        return RenderedEntry(target, gettext("network address"), change.old, change.new)
    fields = (RuleDraft if model is RuleVersion else model)._meta.get_fields()
    field: Any = next((field for field in fields if field.name == change.field), None)
    if field is None:
        return RenderedEntry(target, change.field, change.old, change.new)
    old, new = describe_value(field, change.old), describe_value(field, change.new)
    return RenderedEntry(target, str(field.verbose_name), old, new)


def describe_value(field: Any, value: object) -> str:
    """Format the value of a model field, or the text of it in an entry, in the active language."""
    text = shown(value)
    if field.name == CONTACTS:
        return permissions.masked_list(text)  # Users who may see full numbers find them on the tenant page.
    if field.name in status_labels.STATUS_FIELDS:
        return status_labels.uis_status(text)
    if isinstance(field, models.BooleanField):
        return {"True": gettext("yes"), "False": gettext("no")}.get(text, text)
    return str(dict(field.flatchoices).get(text, text)) if getattr(field, "choices", None) else text


def _object_name(target: object) -> str:
    """Return the stored name of an object: it begins with the model name, which is translated when shown."""
    if not isinstance(target, models.Model):
        return str(target)
    model_name = str(target._meta.model_name)
    return model_name if isinstance(target, _ONE_PER_TENANT) else f"{model_name} {target}"
