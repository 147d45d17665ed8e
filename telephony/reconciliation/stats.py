"""Daily reconciliation: the status of the calls in UIS's report, in total and by day."""

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Count, Q

from connector_project.core import local_dates
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.placeholders import Placeholders
from telephony.models import Call, DailyReconciliation
from telephony.models.daily_reconciliation import STATUS_CONDITIONS
from telephony.uis.types import EndedEvent
from tenants.models import Tenant

OPEN_DAYS_COUNTED = 60
_IS_OPEN = Q(waiting__gt=0) | Q(failed__gt=0) | Q(unexplained__gt=0)
_COUNTS = {
    **{name: Count("pk", filter=chosen) for name, chosen in STATUS_CONDITIONS.items()},
    "recovered": Count("pk", filter=Q(origin=Call.Origin.REPORT)),
}


@dataclass(frozen=True, kw_only=True)
class ReconciliationStats:
    """Number of calls in UIS's report, and by status: each is in exactly one of the five fields that follow."""

    uis_calls: int = 0
    uploaded: int = 0
    skipped: int = 0
    waiting: int = 0
    failed: int = 0
    unexplained: int = 0
    recovered: int = 0

    @classmethod
    def from_counts(cls, uis_calls: int, counted: Mapping[str, int]) -> "ReconciliationStats":
        """Return the stats of `uis_calls` calls; those not in `counted` are unexplained."""
        by_status = {name: counted[name] for name in STATUS_CONDITIONS}
        unexplained = uis_calls - sum(by_status.values())
        return cls(uis_calls=uis_calls, unexplained=unexplained, recovered=counted["recovered"], **by_status)

    def __add__(self, other: "ReconciliationStats") -> "ReconciliationStats":
        return ReconciliationStats(**dict(Counter(asdict(self)) + Counter(asdict(other))))

    @property
    def delivery_rate(self) -> float | None:
        """The percentage of uploaded calls among those that the CRM should have."""
        return percent(self.uploaded, self.uis_calls - self.skipped)


def percent(part: int, whole: int) -> float | None:
    """Return the percentage, None if `whole` is 0. Rounded down, so that 100 means all."""
    return part * 1000 // whole / 10 if whole > 0 else None


def count_calls(tenant: Tenant, session_ids: Collection[int]) -> ReconciliationStats:
    """Count calls of UIS's report by status; those without a row are unexplained. One query."""
    rows = Call.objects.filter(tenant=tenant, session_id__in=session_ids)
    return ReconciliationStats.from_counts(len(session_ids), rows.aggregate(**_COUNTS))


@transaction.atomic
def set_report_dates(tenant: Tenant, listed: Iterable[EndedEvent]) -> None:
    """Store on each row the local day of the call in UIS's report, by which days are counted."""
    days = {call.session_id: listed_day(call, zone=tenant.zone) for call in listed}
    rows = Call.objects.filter(tenant=tenant, session_id__in=days).values_list("pk", "session_id", "report_date")
    by_day: dict[date, list[int]] = {}
    for pk, session_id, stored in rows:
        if stored != days[session_id]:
            by_day.setdefault(days[session_id], []).append(pk)
    changed = [pk for pks in by_day.values() for pk in pks]
    if changed:  # Lock them in the order of primary keys, as a worker that finishes its batch.
        list(Call.objects.filter(pk__in=changed).order_by("pk").select_for_update().values_list("pk"))
    for day, pks in by_day.items():
        Call.objects.filter(pk__in=pks).update(report_date=day)


def listed_day(call: EndedEvent, *, zone: ZoneInfo) -> date:
    """Return the local day of a call in UIS's report: the day it began."""
    started_at = call.started_at or call.happened_at
    if started_at is None:
        raise ValueError("A reported call has no start time.")
    return local_dates.day_of(started_at, zone=zone)


def count(
    tenant: Tenant,
    *,
    since: datetime,
    till: datetime,
    days: Collection[date],
    missing: Mapping[int, datetime],
    settled: Collection[date] = (),
    has_open_days: bool | None = None,
    now: datetime,
) -> None:
    """Recount the days of a comparison, and in turns those that still have open calls.

    `days` are those of the reported calls, `missing` the sessions without a row and when they began: they replace what
    was missing between `since` and `till`. `settled` are the days compared as a whole. Whether the client has days that
    are counted again is looked up if it is not given.
    """
    # Mostly there is nothing: a client without calls is compared every ten minutes.
    if days or settled or (with_open_days([tenant.pk]) if has_open_days is None else has_open_days):
        _count(tenant, since=since, till=till, days=days, missing=missing, settled=settled, now=now)


@transaction.atomic
def _count(
    tenant: Tenant,
    *,
    since: datetime,
    till: datetime,
    days: Collection[date],
    missing: Mapping[int, datetime],
    settled: Collection[date],
    now: datetime,
) -> None:
    rows = _lock_days(tenant, {*days, *settled}, since=since, till=till, now=now)
    _set_missing(rows, missing, since=since, till=till, tenant=tenant)
    _set_counts(rows, tenant=tenant, now=now)
    # Only where it is set: another count may have closed the other days meanwhile.
    if settled:
        DailyReconciliation.objects.filter(tenant=tenant, day__in=settled).update(closed_at=now)


def with_open_days(tenant_ids: Sequence[int]) -> set[int]:
    """Return which of these clients have days that are counted again."""
    return {pk for (pk,) in _open().fetch(tenants=tenant_ids)}


@functools.cache
def _open() -> CompiledSelect[tuple[int]]:
    def build(given: Placeholders) -> Any:
        rows = DailyReconciliation.objects.filter(_IS_OPEN, tenant__pk__in=given.integers("tenants"))
        return rows.order_by().values_list("tenant").distinct()

    return CompiledSelect(build, lists=["tenants"])


def _set_counts(rows: Collection[DailyReconciliation], *, tenant: Tenant, now: datetime) -> None:
    """Count the calls of these locked days by status, and write that."""
    calls = Call.objects.filter(tenant=tenant, report_date__in=[row.day for row in rows]).order_by()
    counted: dict[date | None, Mapping[str, Any]] = {
        row["report_date"]: row for row in calls.values("report_date").annotate(listed=Count("pk"), **_COUNTS)
    }
    for row in rows:
        known = {name: counted.get(row.day, {}).get(name, 0) for name in _COUNTS}
        uis_calls = counted.get(row.day, {}).get("listed", 0) + len(row.missing)
        for name, value in asdict(ReconciliationStats.from_counts(uis_calls, known)).items():
            setattr(row, name, value)
        row.counted_at = now
    DailyReconciliation.objects.bulk_update(rows, [*asdict(ReconciliationStats()), "missing", "counted_at"])


def _lock_days(
    tenant: Tenant, days: Collection[date], *, since: datetime, till: datetime, now: datetime
) -> list[DailyReconciliation]:
    """Create and lock the rows of these days, those of the period with missing calls, and the next open ones."""
    mine = DailyReconciliation.objects.filter(tenant=tenant)
    new = {*days} - set(mine.filter(day__in=days).values_list("day", flat=True))
    DailyReconciliation.objects.bulk_create(
        [DailyReconciliation(tenant=tenant, day=day, counted_at=now) for day in sorted(new)], ignore_conflicts=True
    )
    next_open = list(
        mine.filter(_IS_OPEN).order_by("counted_at", "pk").values_list("pk", flat=True)[:OPEN_DAYS_COUNTED]
    )
    period = [local_dates.day_of(moment, zone=tenant.zone) for moment in (since, till)]
    chosen = Q(day__in=days) | Q(pk__in=next_open) | Q(day__range=period, unexplained__gt=0)
    return list(mine.filter(chosen).order_by("pk").select_for_update())


def _set_missing(
    rows: Collection[DailyReconciliation],
    missing: Mapping[int, datetime],
    *,
    since: datetime,
    till: datetime,
    tenant: Tenant,
) -> None:
    """Replace what was missing in the period. What got a row since then, from whomever, is not missing."""
    found: dict[date, dict[str, int]] = {}
    for session_id, began in missing.items():
        day = local_dates.day_of(began, zone=tenant.zone)
        found.setdefault(day, {})[str(session_id)] = int(began.timestamp())
    for row in rows:
        outside = {key: at for key, at in row.missing.items() if not since.timestamp() <= at < till.timestamp()}
        row.missing = outside | found.get(row.day, {})
    sessions = [int(key) for row in rows for key in row.missing]
    if sessions:
        recorded = Call.objects.filter(tenant=tenant, session_id__in=sessions).values_list("session_id", flat=True)
        known = {str(session_id) for session_id in recorded}
        for row in rows:
            row.missing = {key: at for key, at in row.missing.items() if key not in known}
