"""Writes and renders audit log entries; keys are never logged, only that one was set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Required, TypedDict, Unpack

from django.apps import apps
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import QuerySet
from django.utils.text import capfirst
from django.utils.translation import gettext

from tenants import sight, words
from tenants.models import Change, CrmConnection, Tenant, TransferRules, UisConnection

By = User | AnonymousUser | None
CONTACTS = "contacts"
# A tenant has exactly one of each: the model name identifies it.
_ONE_PER_TENANT = (Tenant, UisConnection, CrmConnection, TransferRules)


class About(TypedDict, total=False):
    """The details of an entry apart from tenant and verb."""

    now: Required[datetime]
    by: By
    is_client: bool
    part: object
    field: object
    old: object
    new: object


@dataclass(frozen=True)
class Told:
    """An entry rendered in the active language."""

    part: str
    field: str
    old: str
    new: str


def note(tenant: Tenant | None, verb: Change.Verb, **about: Unpack[About]) -> None:
    """Write one entry. `by` is the staff user; None or anonymous means the client or the CRM.

    `tenant` is None for entries about the whole system.
    """
    row(tenant, verb, **about).save()


def row(tenant: Tenant | None, verb: Change.Verb, **about: Unpack[About]) -> Change:
    """Return an unsaved entry, for bulk creation."""
    by = about.get("by")
    return Change(
        tenant=tenant,
        tenant_name=tenant.name if tenant else "",
        at=about["now"],
        user=by if isinstance(by, User) else None,
        is_client=about.get("is_client", False),
        verb=verb,
        part=_object_name(about.get("part", ""))[:250],
        field=str(about.get("field", ""))[:100],
        old=shown(about.get("old", "")),
        new=shown(about.get("new", "")),
    )


def of(part: models.Model, tenant: Tenant | None) -> QuerySet[Change]:
    """Return the entries of one object, newest first; `tenant` is None for objects of the whole system."""
    return Change.objects.filter(tenant=tenant, part=_object_name(part)).select_related("user")


def shown(value: object) -> str:
    """Format a value for people."""
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(one) for one in value)
    return str(value)


def note_values(
    tenant: Tenant,
    *,
    now: datetime,
    by: Any,
    part: object,
    before: Mapping[str, object],
    after: Mapping[str, object],
    verb: Change.Verb = Change.Verb.CHANGED,
) -> None:
    """Write one entry for each value that differs."""
    for field, new in after.items():
        if shown(before.get(field)) != shown(new):
            note(tenant, verb, now=now, by=by, part=part, field=field, old=before.get(field), new=new)


def told(change: Change) -> Told:
    """Render an entry: names of objects, fields and choices in the active language."""
    model_name, _space, rest = change.part.partition(" ")
    model = _models().get(model_name)
    if model is None:
        return Told(change.part, change.field, change.old, change.new)
    part = f"{capfirst(str(model._meta.verbose_name))} {rest}".strip()
    field = _field(model, change.field)
    if field is None:
        return Told(part, change.field, change.old, change.new)
    return Told(part, str(field.verbose_name), _value(field, change.old), _value(field, change.new))


def _object_name(part: object) -> str:
    """Return the stored name of an object: it begins with the model name, which is translated when shown."""
    if not isinstance(part, models.Model):
        return str(part)
    model_name = str(part._meta.model_name)
    return model_name if isinstance(part, _ONE_PER_TENANT) else f"{model_name} {part}"


def _models() -> dict[str, type[models.Model]]:
    return {str(model._meta.model_name): model for model in apps.get_models()}


def _field(model: type[models.Model], name: str) -> Any:
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _value(field: Any, text: str) -> str:
    if field.name == CONTACTS:
        return sight.masked_list(text)  # Users who may see full numbers find them on the tenant page.
    if field.name in words.STATUS_FIELDS:
        return words.uis_status(text)
    if isinstance(field, models.BooleanField):
        return {"True": gettext("yes"), "False": gettext("no")}.get(text, text)
    return str(dict(field.flatchoices).get(text, text)) if getattr(field, "choices", None) else text
