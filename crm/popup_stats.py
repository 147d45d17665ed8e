"""Pop-up latency: from the ringing event to the CRM's acceptance, for one client or all."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from django.db.models import Count, F, Q

from connector_project.core.db_functions import DurationCentiseconds
from crm.models import Popup
from telephony.stats import Period
from tenants.models import Tenant

Timestamps = Mapping[int, int]  # latency in hundredths of a second -> number of pop-ups
# Upper bounds, in seconds; later than the last one, the pop-up is of no use.
STEPS_SECONDS = (0.5, 1, 2, 3, 5, 10)


@dataclass(frozen=True, kw_only=True)
class LatencyStats:
    """Latency statistics in seconds; None without pop-ups."""

    count: int = 0
    median: float | None = None
    p95: float | None = None
    worst: float | None = None

    @classmethod
    def from_times(cls, times: Timestamps) -> Self:
        if not times:
            return cls()
        median, p95 = (percentile(times, share) / 100 for share in (0.5, 0.95))
        return cls(count=sum(times.values()), median=median, p95=p95, worst=max(times) / 100)


@dataclass(frozen=True, kw_only=True)
class PopupStats:
    """Pop-ups of a period."""

    by_day: Mapping[date, LatencyStats]
    total: LatencyStats  # since the ringing event, by UIS's clock
    ours: LatencyStats  # since we received the notification
    histogram: Mapping[float | None, int]  # upper bound in seconds -> number of pop-ups; None: slower
    refused: int  # rejected by the CRM


def count_popups(tenant: Tenant | None, period: Period) -> PopupStats:
    """Measure a period's pop-ups. Two queries; a row per distinct latency and day."""
    counted, refused = _since_ringing(tenant, period)
    total: Counter[int] = Counter()
    for times in counted.values():
        total.update(times)
    return PopupStats(
        by_day={day: LatencyStats.from_times(counted.get(day, {})) for day in period.days},
        total=LatencyStats.from_times(total),
        ours=LatencyStats.from_times(_since_receipt(tenant, period)),
        histogram=histogram(total),
        refused=refused,
    )


def percentile(times: Timestamps, share: float) -> float:
    """Return a percentile, interpolated linearly as percentile_cont does."""
    position = share * (sum(times.values()) - 1)
    below, above = _nth(times, int(position)), _nth(times, int(position) + (position % 1 > 0))
    return below + (above - below) * (position % 1)


def histogram(times: Timestamps) -> dict[float | None, int]:
    """Count pop-ups by upper bound."""
    found: dict[float | None, int] = dict.fromkeys((*STEPS_SECONDS, None), 0)
    for hundredths, count in times.items():
        edge = next((seconds for seconds in STEPS_SECONDS if hundredths <= seconds * 100), None)
        found[edge] += count
    return found


def _nth(times: Timestamps, position: int) -> int:
    for value in sorted(times):
        position -= times[value]
        if position < 0:
            return value
    raise IndexError(position)


def _since_ringing(tenant: Tenant | None, period: Period) -> tuple[dict[date, Counter[int]], int]:
    counted: dict[date, Counter[int]] = {}
    refused = 0
    for row in _rows(tenant, period, "ringing_at", "day"):
        if row["took"] is None:
            refused += row["times"]
        else:
            counted.setdefault(row["day"], Counter())[row["took"]] += row["times"]
    return counted, refused


def _since_receipt(tenant: Tenant | None, period: Period) -> Timestamps:
    rows = _rows(tenant, period, "received_at")
    return {row["took"]: row["times"] for row in rows if row["took"] is not None}


def _rows(tenant: Tenant | None, period: Period, since: str, *groups: str) -> Iterable[dict[str, Any]]:
    ended = Popup.objects.filter(Q(accepted_at__isnull=False) | Q(state=Popup.State.FAILED))
    took = DurationCentiseconds(F("accepted_at") - F(since))
    grouped = period.filter_rows(ended, "received_at", tenant).annotate(took=took).values(*groups, "took")
    counted: Iterable[dict[str, Any]] = grouped.annotate(times=Count("pk"))
    return counted
