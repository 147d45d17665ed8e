"""How fast cards are: from the ring at UIS to the CRM's yes, of one client or of all."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from django.db.models import Count, F, Q

from crm.models import Popup
from telephony.figures import Period
from tenants.localtime import Hundredths
from tenants.models import Tenant

Times = Mapping[int, int]  # how often a card took so many hundredths of a second
# Upper edges, in seconds; whoever waits longer than the last one has answered by himself.
STEPS_SECONDS = (0.5, 1, 2, 3, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How long cards took, in seconds; None where there was none."""

    cards: int = 0
    median: float | None = None
    p95: float | None = None
    worst: float | None = None

    @classmethod
    def of(cls, times: Times) -> Self:
        """Return what so many cards of each length come to."""
        if not times:
            return cls()
        median, p95 = (percentile(times, share) / 100 for share in (0.5, 0.95))
        return cls(cards=sum(times.values()), median=median, p95=p95, worst=max(times) / 100)


@dataclass(frozen=True, kw_only=True)
class Cards:
    """The cards of a period."""

    by_day: Mapping[date, Speed]
    total: Speed  # from the ring, by UIS's clock
    ours: Speed  # from the moment the notification reached us
    steps: Mapping[float | None, int]  # how many took up to so many seconds; None: longer
    refused: int  # how many the CRM did not take


def cards(tenant: Tenant | None, period: Period) -> Cards:
    """Measure the cards of a period. Two queries, of as many rows as there are different lengths a day."""
    counted, refused = _from_the_ring(tenant, period)
    total: Counter[int] = Counter()
    for times in counted.values():
        total.update(times)
    return Cards(
        by_day={day: Speed.of(counted.get(day, {})) for day in period.days},
        total=Speed.of(total),
        ours=Speed.of(_from_our_door(tenant, period)),
        steps=steps(total),
        refused=refused,
    )


def percentile(times: Times, share: float) -> float:
    """Return the value below which this share lies, between neighbours in proportion, as percentile_cont does."""
    position = share * (sum(times.values()) - 1)
    below, above = _nth(times, int(position)), _nth(times, int(position) + (position % 1 > 0))
    return below + (above - below) * (position % 1)


def steps(times: Times) -> dict[float | None, int]:
    """Sort cards into those that took up to half a second, a second, and so on."""
    found: dict[float | None, int] = dict.fromkeys((*STEPS_SECONDS, None), 0)
    for hundredths, count in times.items():
        edge = next((seconds for seconds in STEPS_SECONDS if hundredths <= seconds * 100), None)
        found[edge] += count
    return found


def _nth(times: Times, position: int) -> int:
    for value in sorted(times):
        position -= times[value]
        if position < 0:
            return value
    raise IndexError(position)


def _from_the_ring(tenant: Tenant | None, period: Period) -> tuple[dict[date, Counter[int]], int]:
    counted: dict[date, Counter[int]] = {}
    refused = 0
    for row in _rows(tenant, period, "rang_at", "day"):
        if row["took"] is None:
            refused += row["times"]
        else:
            counted.setdefault(row["day"], Counter())[row["took"]] += row["times"]
    return counted, refused


def _from_our_door(tenant: Tenant | None, period: Period) -> Times:
    rows = _rows(tenant, period, "received_at")
    return {row["took"]: row["times"] for row in rows if row["took"] is not None}


def _rows(tenant: Tenant | None, period: Period, since: str, *groups: str) -> Iterable[dict[str, Any]]:
    ended = Popup.objects.filter(Q(accepted_at__isnull=False) | Q(state=Popup.State.FAILED))
    took = Hundredths(F("accepted_at") - F(since))
    grouped = period.of(ended, "received_at", tenant).annotate(took=took).values(*groups, "took")
    counted: Iterable[dict[str, Any]] = grouped.annotate(times=Count("pk"))
    return counted
