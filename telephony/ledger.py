"""The ledger: how the calls of UIS's own list ended, for any of them and by day."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Q

from telephony import days
from telephony.models import Call, LedgerDay
from telephony.models.ledger import STANDINGS
from telephony.uis.types import FinishedCall
from tenants.models import Tenant

OPEN_DAYS_COUNTED = 60
_COUNTS = {
    **{name: Count("pk", filter=chosen) for name, chosen in STANDINGS.items()},
    "recovered": Count("pk", filter=Q(origin=Call.Origin.REPORT)),
}


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many calls UIS lists, and how they ended: every one of them is in one of the five that follow."""

    uis_calls: int = 0
    uploaded: int = 0
    skipped: int = 0
    waiting: int = 0
    failed: int = 0
    unexplained: int = 0
    recovered: int = 0

    @classmethod
    def of(cls, uis_calls: int, counted: Mapping[str, int]) -> "Tally":
        """Return the tally of so many listed calls, of which these are explained."""
        unexplained = uis_calls - sum(counted[name] for name in STANDINGS)
        recovered = counted["recovered"]
        standings = {name: counted[name] for name in STANDINGS}
        return cls(uis_calls=uis_calls, unexplained=unexplained, recovered=recovered, **standings)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(**dict(Counter(asdict(self)) + Counter(asdict(other))))

    @property
    def due(self) -> int:
        """How many the CRM is to have."""
        return self.uis_calls - self.skipped


def tally(tenant: Tenant, session_ids: Collection[int]) -> Tally:
    """Say how these calls of UIS's list ended; those without a row of ours are unexplained. One query."""
    rows = Call.objects.filter(tenant=tenant, session_id__in=session_ids)
    return Tally.of(len(session_ids), rows.aggregate(**_COUNTS))


def mark(tenant: Tenant, listed: Iterable[FinishedCall]) -> None:
    """Note on each row the client's day under which UIS lists the call: by it the days are counted."""
    by_day: dict[date, list[int]] = {}
    for said in listed:
        by_day.setdefault(listed_day(said, zone=tenant.zone), []).append(said.session_id)
    for day, session_ids in by_day.items():
        rows = Call.objects.filter(tenant=tenant, session_id__in=session_ids)
        rows.filter(Q(listed_on=None) | ~Q(listed_on=day)).update(listed_on=day)


def listed_day(said: FinishedCall, *, zone: ZoneInfo) -> date:
    """Return the local day under which UIS lists a call: the one it began on."""
    began_at = said.started_at or said.happened_at
    if began_at is None:
        raise ValueError("UIS's list names a start for every call.")
    return days.day_of(began_at, zone=zone)


def count(tenant: Tenant, *, missing: Mapping[date, int], settled: Collection[date] = (), now: datetime) -> None:
    """Count anew the days that were looked at, and those on which something was still open.

    `missing` holds the days looked at, with how many listed calls have no row; `settled` those looked at as a whole.
    """
    kept = {row.day: row for row in LedgerDay.objects.filter(tenant=tenant, day__in={*missing, *settled})}
    kept |= {row.day: row for row in _open_days(tenant)}
    chosen = sorted({*missing, *settled, *kept})
    rows = Call.objects.filter(tenant=tenant, listed_on__in=chosen).order_by().values("listed_on")
    counted: dict[date | None, Mapping[str, Any]] = {
        row["listed_on"]: row for row in rows.annotate(listed=Count("pk"), **_COUNTS)
    }
    for day in chosen:
        row = kept.get(day) or LedgerDay(tenant=tenant, day=day)
        # Who saw a part of a day may not say that nothing is missing in the rest of it.
        row.missing = missing.get(day, 0) if day in settled else max(row.missing, missing.get(day, 0))
        row.settled_at = now if day in settled else row.settled_at
        _write(row, counted.get(day, {}), now=now)


def _open_days(tenant: Tenant) -> Iterable[LedgerDay]:
    is_open = Q(waiting__gt=0) | Q(failed__gt=0) | Q(unexplained__gt=0)
    return LedgerDay.objects.filter(is_open, tenant=tenant).order_by("-day")[:OPEN_DAYS_COUNTED]


def _write(row: LedgerDay, counted: Mapping[str, Any], *, now: datetime) -> None:
    known = {name: counted.get(name, 0) for name in _COUNTS}
    found = Tally.of(counted.get("listed", 0) + row.missing, known)
    figures = asdict(found) | {"missing": row.missing, "settled_at": row.settled_at, "counted_at": now}
    LedgerDay.objects.update_or_create(tenant=row.tenant, day=row.day, defaults=figures)
