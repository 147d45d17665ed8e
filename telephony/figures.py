"""Figures of a period, of one client or of all: how calls ended by day and by hour, and what became of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any, Self
from zoneinfo import ZoneInfo

from django.db.models import Count, F, Q, QuerySet, Sum, Value
from django.db.models.expressions import Combinable

from telephony import days, outcomes
from telephony.ledger import Tally
from telephony.models import Call, LedgerDay
from tenants.localtime import CLIENTS_ZONE, LocalDay, LocalHour
from tenants.models import Tenant

LONGEST_LIST = 50  # employees or clients; nobody looks at a chart of more
_ENDS = {name: Count("pk", filter=chosen) for name, chosen in outcomes.OUTCOMES.items()}
_TALLIES = {part.name: Sum(part.name) for part in fields(Tally)}


@dataclass(frozen=True)
class Period:
    """Whole local days, the last of them today; each client's by his own clock."""

    first: date
    end: date  # the day after the last
    zones: frozenset[str]

    @classmethod
    def last(cls, length: int, *, zones: Iterable[str], now: datetime) -> Self:
        """Return the last days, today included. Where it is already tomorrow, tomorrow is today."""
        known = frozenset(zones) or frozenset({"UTC"})
        today = max(days.day_of(now, zone=ZoneInfo(zone)) for zone in known)
        return cls(today - length * days.DAY + days.DAY, today + days.DAY, known)

    @cached_property
    def days(self) -> list[date]:
        """Every day of it, the oldest first."""
        return list(days.between(self.first, self.end))

    def of(self, rows: QuerySet[Any], moment: str, tenant: Tenant | None) -> QuerySet[Any]:
        """Return the rows of the period, of one client or of all, each with its local `day`; in no order."""
        chosen = self._holds(moment) if tenant is None else Q(tenant=tenant) & self._holds_at(tenant.time_zone, moment)
        found: QuerySet[Any] = rows.filter(chosen).order_by().annotate(day=LocalDay(moment, _zone(tenant)))
        return found

    def _holds(self, moment: str) -> Q:
        """Return the condition that a row is of the period by the clock of its client. `moment` is a column."""
        found = Q(pk__in=[])
        for zone in sorted(self.zones):  # Compared as moments: to ask each row for its local day costs more.
            found |= Q(tenant__time_zone=zone) & self._holds_at(zone, moment)
        edges = [self._edges(zone) for zone in self.zones]
        # Says nothing new, but an index can be asked by it.
        since, till = min(since for since, _till in edges), max(till for _since, till in edges)
        return Q((f"{moment}__gte", since), (f"{moment}__lt", till)) & found

    def _holds_at(self, zone: str, moment: str) -> Q:
        since, till = self._edges(zone)
        return Q((f"{moment}__gte", since), (f"{moment}__lt", till))

    def _edges(self, zone: str) -> tuple[datetime, datetime]:
        at = ZoneInfo(zone)
        return days.begin(self.first, zone=at), days.begin(self.end, zone=at)


@dataclass(frozen=True, kw_only=True)
class Ends:
    """How many calls ended how; internal ones are none of a customer's and are not among them."""

    answered: int = 0
    missed: int = 0
    reached: int = 0
    not_reached: int = 0
    untold: int = 0

    @classmethod
    def of(cls, *rows: Mapping[str, int]) -> Self:
        """Return what rows of counts say together; `calls` is how many they are in all."""
        told = {name: sum(row[name] for row in rows) for name in outcomes.OUTCOMES}
        return cls(untold=sum(row["calls"] for row in rows) - sum(told.values()), **told)

    @property
    def incoming(self) -> int:
        """Calls of customers that came to an end."""
        return self.answered + self.missed


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one employee, or one client, stands."""

    pk: int | None  # None where a call belongs to nobody
    name: str
    ends: Ends = field(default_factory=Ends)
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, kw_only=True)
class Calls:
    """How the calls of a period ended, by local day and by local hour."""

    by_day: Mapping[date, Ends]
    by_hour: Mapping[int, Ends]
    total: Ends


def calls(tenant: Tenant | None, period: Period) -> Calls:
    """Count the calls of a period. One query."""
    hour = LocalHour("started_at", _zone(tenant))
    rows = list(_ended(_calls(tenant, period).annotate(hour=hour).values("day", "hour")))
    by_day, by_hour = _grouped(rows, "day"), _grouped(rows, "hour")
    return Calls(
        by_day={day: Ends.of(*by_day[day]) for day in period.days},
        by_hour={number: Ends.of(*by_hour[number]) for number in range(24)},
        total=Ends.of(*rows),
    )


def by_employee(tenant: Tenant, period: Period) -> list[Standing]:
    """Count the calls of customers by whose they are under the client's rules, the busiest first. One query."""
    mine = _calls(tenant, period).filter(outcomes.INCOMING)
    named = mine.values("employee", name=F("employee__full_name"), extension=F("employee__extension"))
    rows = _ended(named).order_by("-calls", "employee")[:LONGEST_LIST]
    return [Standing(pk=row["employee"], name=_named(row), ends=Ends.of(row)) for row in rows]


def delivered(tenant: Tenant | None, period: Period) -> dict[date, Tally]:
    """Add up the ledger by day. One query over a row a client and day: no call is counted."""
    rows = _ledger(tenant, period).values("day").annotate(**_TALLIES)
    return dict.fromkeys(period.days, Tally()) | {row["day"]: _tally(row) for row in rows}


def by_client(period: Period) -> list[Standing]:
    """Count by client, those first of whose calls the smallest share arrived. Two queries."""
    of_whom = {"pk": F("tenant"), "name": F("tenant__name")}
    found = {
        row["pk"]: _standing(row, tally=_tally(row))
        for row in _ledger(None, period).values(**of_whom).annotate(**_TALLIES)
    }
    for row in _ended(_calls(None, period).values(**of_whom)):
        known = found.get(row["pk"]) or _standing(row)
        found[row["pk"]] = replace(known, ends=Ends.of(row))
    return sorted(found.values(), key=_least_delivered)[:LONGEST_LIST]


def percent(part: int, whole: int) -> float | None:
    """Return a share in per cent, None of nothing. Down, not to the nearest: a hundred per cent are all of them."""
    return part * 1000 // whole / 10 if whole > 0 else None


def _calls(tenant: Tenant | None, period: Period) -> QuerySet[Any]:
    return period.of(Call.objects.filter(is_internal=False), "started_at", tenant)


def _ledger(tenant: Tenant | None, period: Period) -> QuerySet[Any]:
    rows = LedgerDay.objects.filter(day__gte=period.first, day__lt=period.end).order_by()
    return rows.filter(tenant=tenant) if tenant else rows


def _ended(rows: QuerySet[Any]) -> QuerySet[Any]:
    counted: QuerySet[Any] = rows.annotate(calls=Count("pk"), **_ENDS)
    return counted


def _grouped(rows: Iterable[Any], by: str) -> Mapping[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row[by]].append(row)
    return groups


def _tally(row: Mapping[str, int]) -> Tally:
    return Tally(**{name: row[name] for name in _TALLIES})


def _standing(row: Mapping[str, Any], **about: Any) -> Standing:
    return Standing(pk=row["pk"], name=row["name"], **about)


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['name']} ({row['extension'] or '–'})" if row["employee"] else ""


def _least_delivered(one: Standing) -> tuple[float, int, str]:
    share = percent(one.tally.uploaded, one.tally.due)
    return (101.0 if share is None else share, -one.ends.incoming, one.name)


def _zone(tenant: Tenant | None) -> Combinable:
    return Value(tenant.time_zone) if tenant else CLIENTS_ZONE
