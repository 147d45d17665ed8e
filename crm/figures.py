"""Pop-up latency: from the ringing event to the CRM's acceptance, for one client or all."""

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

Times = Mapping[int, int]  # latency in hundredths of a second -> number of pop-ups
# Upper bounds, in seconds; later than the last one, the pop-up is of no use.
STEPS_SECONDS = (0.5, 1, 2, 3, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Latency statistics in seconds; None without pop-ups."""

    cards: int = 0
    median: float | None = None
    p95: float | None = None
    worst: float | None = None

    @classmethod
    def of(cls, times: Times) -> Self:
        if not times:
            return cls()
        median, p95 = (percentile(times, share) / 100 for share in (0.5, 0.95))
        return cls(cards=sum(times.values()), median=median, p95=p95, worst=max(times) / 100)


@dataclass(frozen=True, kw_only=True)
class Cards:
    """Pop-ups of a period."""

    by_day: Mapping[date, Speed]
    total: Speed  # since the ringing event, by UIS's clock
    ours: Speed  # since we received the notification
    steps: Mapping[float | None, int]  # upper bound in seconds -> number of pop-ups; None: slower
    refused: int  # rejected by the CRM


def cards(tenant: Tenant | None, period: Period) -> Cards:
    """Measure a period's pop-ups. Two queries; a row per distinct latency and day."""
    counted, refused = _since_ringing(tenant, period)
    total: Counter[int] = Counter()
    for times in counted.values():
        total.update(times)
    return Cards(
        by_day={day: Speed.of(counted.get(day, {})) for day in period.days},
        total=Speed.of(total),
        ours=Speed.of(_since_receipt(tenant, period)),
        steps=steps(total),
        refused=refused,
    )


def percentile(times: Times, share: float) -> float:
    """Return a percentile, interpolated linearly as percentile_cont does."""
    position = share * (sum(times.values()) - 1)
    below, above = _nth(times, int(position)), _nth(times, int(position) + (position % 1 > 0))
    return below + (above - below) * (position % 1)


def steps(times: Times) -> dict[float | None, int]:
    """Count pop-ups by upper bound."""
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


def _since_ringing(tenant: Tenant | None, period: Period) -> tuple[dict[date, Counter[int]], int]:
    counted: dict[date, Counter[int]] = {}
    refused = 0
    for row in _rows(tenant, period, "rang_at", "day"):
        if row["took"] is None:
            refused += row["times"]
        else:
            counted.setdefault(row["day"], Counter())[row["took"]] += row["times"]
    return counted, refused


def _since_receipt(tenant: Tenant | None, period: Period) -> Times:
    rows = _rows(tenant, period, "received_at")
    return {row["took"]: row["times"] for row in rows if row["took"] is not None}


def _rows(tenant: Tenant | None, period: Period, since: str, *groups: str) -> Iterable[dict[str, Any]]:
    ended = Popup.objects.filter(Q(accepted_at__isnull=False) | Q(state=Popup.State.FAILED))
    took = Hundredths(F("accepted_at") - F(since))
    grouped = period.of(ended, "received_at", tenant).annotate(took=took).values(*groups, "took")
    counted: Iterable[dict[str, Any]] = grouped.annotate(times=Count("pk"))
    return counted
