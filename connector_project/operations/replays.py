"""Replays the stored decisions of a client: under a draft, or under the versions they were made by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from crm import decided_calls, decided_popups
from crm.decisions import Decided, Loader, Status
from tenants.models import Tenant
from tenants.replay import Difference, Outcome, RingFacts, Version, compare, replay_call, replay_popup

PORTION = 500
KINDS = ("call", "popup", "ring")  # in this order
_TIMES = {"call": "started_at", "popup": "received_at", "ring": "received_at"}
_ROWS = {"call": decided_calls.rows, "popup": decided_popups.popups, "ring": decided_popups.rings}
_LOAD: dict[str, Any] = {
    "call": decided_calls.load,
    "popup": decided_popups.load_popups,
    "ring": decided_popups.load_rings,
}


@dataclass(frozen=True, kw_only=True)
class Portion:
    """Decisions of one kind, and where the next portion begins; None: that was the last one of this kind."""

    kind: str
    decided: Sequence[Decided]
    after: tuple[datetime, int] | None


def rows_of(kind: str, tenant: Tenant) -> Any:
    """Return the stored rows of one kind."""
    return _ROWS[kind](tenant)


def rows(kind: str, tenant: Tenant, *, since: datetime, till: datetime) -> Any:
    """Return the stored rows of one kind in a period, in order."""
    at = _TIMES[kind]
    found = rows_of(kind, tenant).filter(**{f"{at}__gte": since, f"{at}__lt": till})
    return found.order_by(at, "pk")


def load_portion(
    loader: Loader,
    kind: str,
    *,
    since: datetime,
    till: datetime,
    after: tuple[datetime, int] | None,
    size: int = PORTION,
) -> Portion:
    """Load a portion. A fixed number of queries."""
    found, at = rows(kind, loader.tenant, since=since, till=till), _TIMES[kind]
    if after:
        found = found.filter(Q(**{f"{at}__gt": after[0]}) | Q(**{at: after[0]}, pk__gt=after[1]))
    batch = list(found[:size])
    ends_at = (getattr(batch[-1], at), batch[-1].pk) if len(batch) == size else None
    return Portion(kind=kind, decided=_LOAD[kind](loader, batch) if batch else (), after=ends_at)


def load_each(loader: Loader, kind: str, *, since: datetime, till: datetime) -> Iterator[Decided]:
    """Yield the decisions of one kind in a period, portion after portion."""
    after: tuple[datetime, int] | None = None
    while True:
        portion = load_portion(loader, kind, since=since, till=till, after=after)
        yield from portion.decided
        after = portion.after
        if after is None:
            return


def load_some(loader: Loader, kind: str, pks: Sequence[int]) -> dict[int, Decided]:
    """Return the decisions of these rows that are still there, by primary key."""
    found = list(rows_of(kind, loader.tenant).filter(pk__in=pks)) if pks else []
    return {one.pk: one for one in _LOAD[kind](loader, found)} if found else {}


def row_facts(kind: str, tenant: Tenant, pks: Sequence[int]) -> dict[int, tuple[int, datetime]]:
    """Return the session and the time of these rows, by primary key. One query."""
    found = rows_of(kind, tenant).filter(pk__in=pks).order_by().values_list("pk", "session_id", _TIMES[kind])
    return {pk: (session, at) for pk, session, at in found} if pks else {}


def replay(loader: Loader, one: Decided, version: Version) -> Outcome:
    """Return what a version makes of a stored decision."""
    if isinstance(one.facts, RingFacts):
        return replay_popup(one.facts, version)
    return replay_call(one.facts, version, salt=loader.salt if version.rules.field_map.hashes else "")


def difference(loader: Loader, one: Decided) -> Difference:
    """Return what the draft of the loader would change in a stored decision."""
    if one.version is None or loader.draft is None:
        raise ValueError("nothing to compare with")
    return compare(replay(loader, one, one.version), replay(loader, one, loader.draft))


def unfaithful(loader: Loader, one: Decided) -> Difference | None:
    """Return what differs between what was sent and its replay under the version that decided; None if nothing."""
    if one.status != Status.DECIDED or one.version is None or one.sent is None:
        return None
    found = compare(one.sent, replay(loader, one, one.version), without=one.unkept)
    return None if found.is_same else found
