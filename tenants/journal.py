"""Writes down who changed what, and tells it again in words. Keys are never among it: only that one was set."""

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
# A client has each of these once: the word for it says which one is meant.
_ONLY_ONES = (Tenant, UisConnection, CrmConnection, TransferRules)


class About(TypedDict, total=False):
    """What a row may tell, besides whose it is and what was done."""

    now: Required[datetime]
    by: By
    is_client: bool
    part: object
    field: object
    old: object
    new: object


@dataclass(frozen=True)
class Told:
    """One row of the journal in words, in the language that is active."""

    part: str
    field: str
    old: str
    new: str


def note(tenant: Tenant | None, verb: Change.Verb, **about: Unpack[About]) -> None:
    """Write one row. `by` is the person at the desk; where nobody was logged in it is the client, or the CRM.

    What is about no client in particular has none.
    """
    row(tenant, verb, **about).save()


def row(tenant: Tenant | None, verb: Change.Verb, **about: Unpack[About]) -> Change:
    """Return a row that is not written yet, for those who write many at once. Without a client it is of the whole."""
    by = about.get("by")
    return Change(
        tenant=tenant,
        tenant_name=tenant.name if tenant else "",
        at=about["now"],
        user=by if isinstance(by, User) else None,
        is_client=about.get("is_client", False),
        verb=verb,
        part=_named(about.get("part", ""))[:250],
        field=str(about.get("field", ""))[:100],
        old=shown(about.get("old", "")),
        new=shown(about.get("new", "")),
    )


def of(part: models.Model, tenant: Tenant | None) -> QuerySet[Change]:
    """Return what was done to one part of a client, or of the whole; newest first."""
    return Change.objects.filter(tenant=tenant, part=_named(part)).select_related("user")


def shown(value: object) -> str:
    """Return a value the way a person reads it."""
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
    """Write one row for each value that differs, whether the form says so or not."""
    for field, new in after.items():
        if shown(before.get(field)) != shown(new):
            note(tenant, verb, now=now, by=by, part=part, field=field, old=before.get(field), new=new)


def told(change: Change) -> Told:
    """Return a row in words: names of parts, fields and choices as the reader's language has them."""
    word, _space, rest = change.part.partition(" ")
    model = _models().get(word)
    if model is None:
        return Told(change.part, change.field, change.old, change.new)
    part = f"{capfirst(str(model._meta.verbose_name))} {rest}".strip()
    field = _field(model, change.field)
    if field is None:
        return Told(part, change.field, change.old, change.new)
    return Told(part, str(field.verbose_name), _value(field, change.old), _value(field, change.new))


def _named(part: object) -> str:
    """Return how a row names what was changed: by its model, so that each reader gets it in his language."""
    if not isinstance(part, models.Model):
        return str(part)
    word = str(part._meta.model_name)
    return word if isinstance(part, _ONLY_ONES) else f"{word} {part}"


def _models() -> dict[str, type[models.Model]]:
    return {str(model._meta.model_name): model for model in apps.get_models()}


def _field(model: type[models.Model], name: str) -> Any:
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _value(field: Any, text: str) -> str:
    if field.name == CONTACTS:
        return sight.masked_list(text)  # Whoever may see them whole sees them on the client's page.
    if field.name in words.STATUS_FIELDS:
        return words.uis_status(text)
    if isinstance(field, models.BooleanField):
        return {"True": gettext("yes"), "False": gettext("no")}.get(text, text)
    return str(dict(field.flatchoices).get(text, text)) if getattr(field, "choices", None) else text
