"""What the statistics show: calls by outcome, from the roll-up and the deltas that are not in it yet."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, Self

from django.db import models
from django.db.models import QuerySet, Sum

from telephony.models import CallDelta, DailyCalls, DailyEmployeeCalls, DailyReconciliation
from telephony.models.daily_calls import HOUR_COLUMNS, OUTCOME_COLUMNS
from telephony.reconciliation.stats import ReconciliationStats, percent
from telephony.stats.period import Period, of_tenants
from telephony.stats.rollup import CALLS
from tenants.models import Employee, Tenant
from tenants.visibility import Reader

LONGEST_LIST = 50  # employees or tenants; a longer chart is unreadable
_EMPLOYEE_COLUMNS = ("answered", "missed", "unknown")
_RECONCILIATION_SUMS = {part.name: Sum(part.name) for part in fields(ReconciliationStats)}

Counts = dict[Any, Counter[str]]  # by day, tenant or employee, then by column


@dataclass(frozen=True, kw_only=True)
class OutcomeCounts:
    """Number of calls by outcome, without internal calls."""

    answered: int = 0
    missed: int = 0
    reached: int = 0
    not_reached: int = 0
    unknown: int = 0

    @classmethod
    def from_counts(cls, counts: Mapping[str, int]) -> Self:
        return cls(**{name: counts[name] for name in OUTCOME_COLUMNS if name in counts})

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
    """Outcomes of a period by local day; incoming calls by local hour."""

    by_day: Mapping[date, OutcomeCounts]
    by_hour: Mapping[int, OutcomeCounts]
    total: OutcomeCounts


def calls(tenant: Tenant | None, period: Period, *, reader: Reader = None) -> Calls:
    """Count calls by outcome. Two queries. With other figures, within `rollups.read`."""
    columns = (*OUTCOME_COLUMNS, *HOUR_COLUMNS.values())
    counts = _count(DailyCalls, columns, "day", tenant, period, reader)
    total = sum(counts.values(), Counter())
    return Calls(
        by_day={day: OutcomeCounts.from_counts(counts.get(day, {})) for day in period.days},
        by_hour={hour: _of_hour(total, hour) for hour in range(24)},
        total=OutcomeCounts.from_counts(total),
    )


def by_employee(tenant: Tenant, period: Period) -> list[StatsRow]:
    """Count incoming calls by owner, busiest first. Three queries."""
    counts = _count(DailyEmployeeCalls, _EMPLOYEE_COLUMNS, "employee_key", tenant, period, None)
    busiest = sorted(counts, key=lambda key: (-counts[key].total(), key))[:LONGEST_LIST]
    names = _names(tenant, busiest)
    return [
        StatsRow(pk=key or None, name=names.get(key, ""), outcomes=OutcomeCounts.from_counts(counts[key]))
        for key in busiest
    ]


def delivered(tenant: Tenant | None, period: Period, *, reader: Reader = None) -> dict[date, ReconciliationStats]:
    """Sum the daily reconciliation by day. One query over one row per tenant and day; no call is counted."""
    rows = _daily_rows(tenant, period, reader).values("day").annotate(**_RECONCILIATION_SUMS)
    return dict.fromkeys(period.days, ReconciliationStats()) | {row["day"]: _tally(row) for row in rows}


def by_tenant(period: Period, *, reader: Reader = None) -> list[StatsRow]:
    """Count by tenant, lowest delivery rate first. Four queries."""
    sums = _daily_rows(None, period, reader).values("tenant").annotate(**_RECONCILIATION_SUMS)
    tally_of = {row["tenant"]: _tally(row) for row in sums}
    counts = _count(DailyCalls, OUTCOME_COLUMNS, "tenant", None, period, reader)
    found = [
        StatsRow(
            pk=pk,
            name=name,
            outcomes=OutcomeCounts.from_counts(counts.get(pk, {})),
            tally=tally_of.get(pk, ReconciliationStats()),
        )
        for pk, name in Tenant.objects.filter(pk__in={*tally_of, *counts}).values_list("pk", "name").order_by()
    ]
    return sorted(found, key=_least_delivered)[:LONGEST_LIST]


def _count(
    model: type[models.Model],
    columns: tuple[str, ...],
    by: str,
    tenant: Tenant | None,
    period: Period,
    reader: Reader,
) -> Counts:
    """Sum the stored numbers and the deltas of a period by one part of the key, without sums that are all 0."""
    counts: defaultdict[Hashable, Counter[str]] = defaultdict(Counter)
    stored = period.filter_days(model._default_manager.all(), tenant, reader)
    for row in stored.values_list(by).annotate(**{f"sum_{name}": Sum(name) for name in columns}):
        counts[row[0]].update(dict(zip(columns, row[1:], strict=True)))
    position = ("tenant", "day", "employee_key").index(by)
    for (table, key, column), number in CALLS.pending(of_tenants(CallDelta.objects.all(), tenant, reader)).items():
        if table is model and key[1] in period and column in columns:
            counts[key[position]][str(column)] += number
    return {key: counted for key, counted in counts.items() if any(counted.values())}


def _of_hour(counts: Mapping[str, int], hour: int) -> OutcomeCounts:
    return OutcomeCounts(**{outcome: counts[HOUR_COLUMNS[outcome, hour]] for outcome in ("answered", "missed")})


def _names(tenant: Tenant, keys: list[int]) -> dict[int, str]:
    people = Employee.objects.filter(tenant=tenant, pk__in=keys).order_by()
    return {
        pk: f"{name} ({extension or '–'})" for pk, name, extension in people.values_list("pk", "full_name", "extension")
    }


def _daily_rows(tenant: Tenant | None, period: Period, reader: Reader) -> QuerySet[Any]:
    return period.filter_days(DailyReconciliation.objects.all(), tenant, reader)


def _tally(row: Mapping[str, int]) -> ReconciliationStats:
    return ReconciliationStats(**{name: row[name] for name in _RECONCILIATION_SUMS})


def _least_delivered(one: StatsRow) -> tuple[float, int, str]:
    share = one.tally.delivery_rate
    return (101.0 if share is None else share, -one.outcomes.incoming, one.name)
