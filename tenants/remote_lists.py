"""Decides which rows of a vendor's list are gone. One answer is no verdict: it may be empty, narrowed or cut short.

A row is gone when two answers some minutes apart lack it. A list that is empty, or shorter by more than a third than
what we know, removes nothing until a person accepts it: rights may be missing for days. A list with fewer rows than
the vendor states says nothing about absence.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from connector_project.core.compiled_queries import CompiledSelect, CompiledUpdate
from connector_project.core.task_queue import enqueue
from tenants.models.remote_list import RemoteList
from tenants.models.tenant import Tenant

CONFIRMED_AFTER = timedelta(minutes=5)
READ_AGAIN_AFTER = timedelta(minutes=5)
READ_AGAIN_FOR = timedelta(hours=1)  # then the hourly sync is enough

Kind = RemoteList.Kind


@dataclass(frozen=True)
class Reading:
    """The keys of a list in one answer, and whether it has all rows that the vendor states."""

    keys: frozenset[str]
    is_complete: bool = True

    @classmethod
    def of(cls, keys: Iterable[object], *, is_complete: bool) -> "Reading":
        return cls(frozenset(map(str, keys)), is_complete)


def is_short(known: Collection[object], received: Collection[object]) -> bool:
    """Return whether a list is empty, or shorter by more than a third than what we know."""
    return bool(known) and (not received or 3 * len(received) < 2 * len(known))


def update(row: RemoteList, known: Collection[str], reading: Reading) -> set[str]:
    """Update what we remember of a list by the answer requested at `asked_at`; return the known rows that are gone."""
    now, missing = row.asked_at, set(known) - reading.keys
    seen = {key: datetime.fromisoformat(since) for key, since in row.absent.items() if key in missing}
    gone: set[str] = set()
    row.known_count, row.received_count = len(known), len(reading.keys)
    row.incomplete_since = None if reading.is_complete else row.incomplete_since or now
    if reading.is_complete:
        short = is_short(known, reading.keys)
        if short != (row.short_since is not None):
            seen = {}  # What such a list lacked is no evidence for the other kind.
        row.short_since = (row.short_since or now) if short else None
        seen = {key: seen.get(key, now) for key in missing}
        gone = {key for key, since in seen.items() if _is_gone(row, since)}
        if gone == missing:
            row.short_since = None
        row.accepted_at = None  # It was for this answer.
    row.absent = {key: since.isoformat() for key, since in sorted(seen.items()) if key not in gone}
    row.read_again_at = _read_again_at(row, [since for key, since in seen.items() if key not in gone])
    return gone


def _is_gone(row: RemoteList, since: datetime) -> bool:
    if row.short_since is None:
        return row.asked_at - since >= CONFIRMED_AFTER
    return row.accepted_at is not None and since <= row.accepted_at


def _read_again_at(row: RemoteList, absent_since: Collection[datetime]) -> datetime | None:
    since = [*absent_since, *filter(None, [row.incomplete_since])]
    is_fresh = bool(since) and row.asked_at - min(since) < READ_AGAIN_FOR
    return row.asked_at + READ_AGAIN_AFTER if is_fresh else None


def find_gone(
    tenant: Tenant, lists: Mapping[RemoteList.Kind, tuple[list[str], Reading]], *, asked_at: datetime
) -> dict[RemoteList.Kind, set[str]] | None:
    """Store what the answers say about known rows; return which rows are gone, by list.

    None if a later answer is stored already: this one must not be. The caller holds the lock on the tenant.
    """
    stored = {row.kind: row for row in _LISTS.fetch(tenant=tenant.pk) if row.kind in lists}
    if any(row.asked_at > asked_at for row in stored.values()):
        return None
    gone, unchanged = {}, list[int]()
    for kind, (known, reading) in lists.items():
        row = stored.get(kind) or RemoteList(tenant=tenant, kind=kind)
        before, row.asked_at = [getattr(row, name) for name in _TOLD], asked_at
        gone[kind] = update(row, known, reading)
        if row.pk is not None and before == [getattr(row, name) for name in _TOLD]:
            unchanged.append(row.pk)
        else:
            row.save()
    if unchanged:
        _ASKED.run(rows=unchanged, asked_at=asked_at)
    return gone


_LISTS: CompiledSelect[RemoteList] = CompiledSelect(
    lambda given: RemoteList.objects.filter(tenant=given.integer("tenant")).order_by()
)
_ASKED = CompiledUpdate(
    lambda given: (
        RemoteList.objects.filter(pk__in=given.integers("rows")),
        {"asked_at": given.value_of(RemoteList._meta.get_field("asked_at"))},
    ),
    lists=["rows"],
)
# What an answer tells of a list; when it was asked for is apart.
_TOLD = (
    *("absent", "known_count", "received_count", "short_since"),
    *("accepted_at", "incomplete_since", "read_again_at"),
)


def enqueue_readings(
    task: str, kinds: Collection[RemoteList.Kind], tenants: QuerySet[Tenant], *, now: datetime
) -> None:
    """Queue the task that reads these lists, for each of the tenants with one that is to be read again now."""
    if not _TO_READ_AGAIN.fetch(now=now):
        return
    with transaction.atomic():
        due = RemoteList.objects.filter(kind__in=kinds, read_again_at__lte=now)
        found = set(due.filter(tenant__in=tenants).values_list("tenant", flat=True))
        due.update(read_again_at=None)  # The hourly sync covers a lost push.
        for tenant_id in sorted(found):
            enqueue(task, tenant_id)


_TO_READ_AGAIN: CompiledSelect[tuple[int]] = CompiledSelect(
    lambda given: RemoteList.objects.filter(read_again_at__lte=given.moment("now")).order_by().values_list("pk")[:1]
)


def short_lists(tenant: Tenant) -> QuerySet[RemoteList]:
    """Return the lists whose absent rows are kept because there are too many of them."""
    return RemoteList.objects.filter(tenant=tenant, short_since__isnull=False, accepted_at=None)


def accept(tenant: Tenant, *, now: datetime) -> None:
    """Believe the short lists of this tenant: rows absent until now are gone if the next answer lacks them too."""
    short_lists(tenant).update(accepted_at=now)
