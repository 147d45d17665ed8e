"""Writes down who changed what. Keys are never among it: of them only that one was set."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser, User

from tenants.models import Change, Tenant


def note(
    tenant: Tenant,
    verb: Change.Verb,
    *,
    now: datetime,
    by: User | AnonymousUser | None = None,
    is_client: bool = False,
    part: object = "",
    field: object = "",
    old: object = "",
    new: object = "",
) -> None:
    """Write one row. `by` is the person at the desk; where nobody was logged in it is the client, or the CRM."""
    Change.objects.create(
        tenant=tenant,
        tenant_name=tenant.name,
        at=now,
        user=by if isinstance(by, User) else None,
        is_client=is_client,
        verb=verb,
        part=str(part)[:250],
        field=str(field)[:100],
        old=shown(old),
        new=shown(new),
    )


def shown(value: object) -> str:
    """Return a value the way a person reads it."""
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(one) for one in value)
    return str(value)


def note_values(
    tenant: Tenant, *, now: datetime, by: Any, part: object, before: dict[str, object], after: dict[str, object]
) -> None:
    """Write one row for each value that differs, whether the form says so or not."""
    for field, new in after.items():
        if shown(before.get(field)) != shown(new):
            note(tenant, Change.Verb.CHANGED, now=now, by=by, part=part, field=field, old=before.get(field), new=new)
