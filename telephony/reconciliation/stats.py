"""Daily reconciliation: the status of the calls in UIS's report, in total and by day."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Q

from connector_project.core import local_dates
from telephony.models import Call, DailyReconciliation
from telephony.models.daily_reconciliation import STATUS_CONDITIONS
from telephony.uis.types import EndedEvent
from tenants.models import Tenant

OPEN_DAYS_COUNTED = 60
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


def set_report_dates(tenant: Tenant, listed: Iterable[EndedEvent]) -> None:
    """Store on each row the local day of the call in UIS's report, by which days are counted."""
    by_day: dict[date, list[int]] = {}
    for call in listed:
        by_day.setdefault(listed_day(call, zone=tenant.zone), []).append(call.session_id)
    for day, session_ids in by_day.items():
        rows = Call.objects.filter(tenant=tenant, session_id__in=session_ids)
        rows.filter(Q(report_date=None) | ~Q(report_date=day)).update(report_date=day)


def listed_day(call: EndedEvent, *, zone: ZoneInfo) -> date:
    """Return the local day of a call in UIS's report: the day it began."""
    started_at = call.started_at or call.happened_at
    if started_at is None:
        raise ValueError("A reported call has no start time.")
    return local_dates.day_of(started_at, zone=zone)


def count(tenant: Tenant, *, missing: Mapping[date, int], settled: Collection[date] = (), now: datetime) -> None:
    """Recount the days that were compared, and those that still have open calls.

    `missing` has the number of calls without a row for each compared day; `settled` are the days compared as a whole.
    """
    stored = {row.day: row for row in DailyReconciliation.objects.filter(tenant=tenant, day__in={*missing, *settled})}
    stored |= {row.day: row for row in _open_days(tenant)}
    chosen = sorted({*missing, *settled, *stored})
    rows = Call.objects.filter(tenant=tenant, report_date__in=chosen).order_by().values("report_date")
    counted: dict[date | None, Mapping[str, Any]] = {
        row["report_date"]: row for row in rows.annotate(listed=Count("pk"), **_COUNTS)
    }
    for day in chosen:
        row = stored.get(day) or DailyReconciliation(tenant=tenant, day=day)
        # A partial comparison does not prove that nothing is missing in the rest of the day.
        row.missing = missing.get(day, 0) if day in settled else max(row.missing, missing.get(day, 0))
        row.closed_at = now if day in settled else row.closed_at
        _write(row, counted.get(day, {}), now=now)


def _open_days(tenant: Tenant) -> Iterable[DailyReconciliation]:
    is_open = Q(waiting__gt=0) | Q(failed__gt=0) | Q(unexplained__gt=0)
    return DailyReconciliation.objects.filter(is_open, tenant=tenant).order_by("-day")[:OPEN_DAYS_COUNTED]


def _write(row: DailyReconciliation, counted: Mapping[str, Any], *, now: datetime) -> None:
    known = {name: counted.get(name, 0) for name in _COUNTS}
    found = ReconciliationStats.from_counts(counted.get("listed", 0) + row.missing, known)
    values = asdict(found) | {"missing": row.missing, "closed_at": row.closed_at, "counted_at": now}
    DailyReconciliation.objects.update_or_create(tenant=row.tenant, day=row.day, defaults=values)
