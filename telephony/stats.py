"""Statistics of a period, of one tenant or of all: outcomes by day and hour, and delivery to the CRM."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from functools import cached_property
from typing import Any, Self
from zoneinfo import ZoneInfo

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.expressions import Combinable

from connector_project.core import local_dates
from connector_project.core.db_functions import CLIENTS_ZONE, LocalDay, LocalHour, in_local_days
from telephony.calls import outcomes
from telephony.models import Call, DailyReconciliation
from telephony.reconciliation.stats import ReconciliationStats, percent
from tenants.models import Tenant
from tenants.visibility import Reader, visible_to

LONGEST_LIST = 50  # employees or tenants; a longer chart is unreadable
_OUTCOME_COUNTS = {name: Count("pk", filter=chosen) for name, chosen in outcomes.OUTCOMES.items()}
_RECONCILIATION_SUMS = {part.name: Sum(part.name) for part in fields(ReconciliationStats)}


@dataclass(frozen=True)
class Period:
    """Whole local days up to and including today, in the time zone of each tenant."""

    first: date
    end: date  # the day after the last
    zones: frozenset[str]

    @classmethod
    def last(cls, length: int, *, zones: Iterable[str], now: datetime) -> Self:
        """Return the last `length` days including today, which is the latest local date of all zones."""
        known = frozenset(zones) or frozenset({"UTC"})
        today = max(local_dates.day_of(now, zone=ZoneInfo(zone)) for zone in known)
        return cls(today - length * local_dates.DAY + local_dates.DAY, today + local_dates.DAY, known)

    @cached_property
    def days(self) -> list[date]:
        """All days, oldest first."""
        return list(local_dates.between(self.first, self.end))

    def filter_rows(
        self, rows: QuerySet[Any], moment: str, tenant: Tenant | None, *, reader: Reader = None
    ) -> QuerySet[Any]:
        """Return the unordered rows of the period, of one tenant or of all that the reader may see, annotated with the
        local `day`.
        """
        zones = self.zones if tenant is None else {tenant.time_zone}
        rows = visible_to(rows, reader) if tenant is None else rows
        chosen = Q() if tenant is None else Q(tenant=tenant)
        chosen &= in_local_days(moment, self.first, self.end, zones=zones)
        found: QuerySet[Any] = rows.filter(chosen).order_by().annotate(day=LocalDay(moment, _zone(tenant)))
        return found


@dataclass(frozen=True, kw_only=True)
class OutcomeCounts:
    """Number of calls by outcome, without internal calls."""

    answered: int = 0
    missed: int = 0
    reached: int = 0
    not_reached: int = 0
    unknown: int = 0

    @classmethod
    def from_rows(cls, *rows: Mapping[str, int]) -> Self:
        """Sum rows of counts; `calls` is the total of a row."""
        counts = {name: sum(row[name] for row in rows) for name in outcomes.OUTCOMES}
        return cls(unknown=sum(row["calls"] for row in rows) - sum(counts.values()), **counts)

    @property
    def incoming(self) -> int:
        """Finished incoming calls."""
        return self.answered + self.missed

    @property
    def answer_rate(self) -> float | None:
        """The percentage of answered calls among the incoming ones."""
        return percent(self.answered, self.incoming)


@dataclass(frozen=True, kw_only=True)
class StatsRow:
    """Figures of one employee or one tenant."""

    pk: int | None  # None for calls without an owner
    name: str
    outcomes: OutcomeCounts = field(default_factory=OutcomeCounts)
    tally: ReconciliationStats = field(default_factory=ReconciliationStats)


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Outcomes of a period by local day and by local hour."""

    by_day: Mapping[date, OutcomeCounts]
    by_hour: Mapping[int, OutcomeCounts]
    total: OutcomeCounts


def calls(tenant: Tenant | None, period: Period, *, reader: Reader = None) -> Calls:
    """Count calls by outcome. One query."""
    hour = LocalHour("started_at", _zone(tenant))
    rows = list(_with_outcomes(_calls(tenant, period, reader).annotate(hour=hour).values("day", "hour")))
    return Calls(
        by_day={day: _sum_where(rows, "day", day) for day in period.days},
        by_hour={number: _sum_where(rows, "hour", number) for number in range(24)},
        total=OutcomeCounts.from_rows(*rows),
    )


def by_employee(tenant: Tenant, period: Period) -> list[StatsRow]:
    """Count incoming calls by owner, busiest first. One query."""
    customer_calls = _calls(tenant, period).filter(outcomes.INCOMING)
    named = customer_calls.values("employee", name=F("employee__full_name"), extension=F("employee__extension"))
    rows = _with_outcomes(named).order_by("-calls", "employee")[:LONGEST_LIST]
    return [StatsRow(pk=row["employee"], name=_named(row), outcomes=OutcomeCounts.from_rows(row)) for row in rows]


def delivered(tenant: Tenant | None, period: Period, *, reader: Reader = None) -> dict[date, ReconciliationStats]:
    """Sum the daily reconciliation by day. One query over one row per tenant and day; no call is counted."""
    rows = _daily_rows(tenant, period, reader).values("day").annotate(**_RECONCILIATION_SUMS)
    return dict.fromkeys(period.days, ReconciliationStats()) | {row["day"]: _tally(row) for row in rows}


def by_tenant(period: Period, *, reader: Reader = None) -> list[StatsRow]:
    """Count by tenant, lowest delivery rate first. Two queries."""
    columns = {"pk": F("tenant"), "name": F("tenant__name")}
    sums = _daily_rows(None, period, reader).values(**columns).annotate(**_RECONCILIATION_SUMS)
    counts = _with_outcomes(_calls(None, period, reader).values(**columns))
    tally_of = {row["pk"]: _tally(row) for row in sums}
    outcomes_of = {row["pk"]: OutcomeCounts.from_rows(row) for row in counts}
    found = [
        StatsRow(
            pk=pk,
            name=name,
            outcomes=outcomes_of.get(pk, OutcomeCounts()),
            tally=tally_of.get(pk, ReconciliationStats()),
        )
        for pk, name in {row["pk"]: row["name"] for row in (*sums, *counts)}.items()
    ]
    return sorted(found, key=_least_delivered)[:LONGEST_LIST]


def _calls(tenant: Tenant | None, period: Period, reader: Reader = None) -> QuerySet[Any]:
    return period.filter_rows(Call.objects.filter(is_internal=False), "started_at", tenant, reader=reader)


def _daily_rows(tenant: Tenant | None, period: Period, reader: Reader) -> QuerySet[Any]:
    rows = DailyReconciliation.objects.filter(day__gte=period.first, day__lt=period.end).order_by()
    return rows.filter(tenant=tenant) if tenant else visible_to(rows, reader)


def _with_outcomes(rows: QuerySet[Any]) -> QuerySet[Any]:
    counted: QuerySet[Any] = rows.annotate(calls=Count("pk"), **_OUTCOME_COUNTS)
    return counted


def _sum_where(rows: Sequence[Mapping[str, Any]], group: str, value: object) -> OutcomeCounts:
    return OutcomeCounts.from_rows(*(row for row in rows if row[group] == value))


def _tally(row: Mapping[str, int]) -> ReconciliationStats:
    return ReconciliationStats(**{name: row[name] for name in _RECONCILIATION_SUMS})


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['name']} ({row['extension'] or '–'})" if row["employee"] else ""


def _least_delivered(one: StatsRow) -> tuple[float, int, str]:
    share = one.tally.delivery_rate
    return (101.0 if share is None else share, -one.outcomes.incoming, one.name)


def _zone(tenant: Tenant | None) -> Combinable:
    return Value(tenant.time_zone) if tenant else CLIENTS_ZONE
