"""Pop-up latency: from the ringing event to the CRM's acceptance, for one client or all."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Self

from django.db.models import Count, F, Q

from connector_project.core.db_functions import DurationCentiseconds
from crm.models import Popup
from telephony.reconciliation.stats import percent
from telephony.stats import Period
from tenants.models import Tenant
from tenants.visibility import Reader

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
        median, p95 = (round(percentile(times, share) / 100, 2) for share in (0.5, 0.95))
        return cls(count=sum(times.values()), median=median, p95=p95, worst=max(times) / 100)


@dataclass(frozen=True)
class Step:
    """The pop-ups between two latencies, and their percentage."""

    count: int
    share: float | None


@dataclass(frozen=True, kw_only=True)
class PopupStats:
    """Pop-ups of a period."""

    by_day: Mapping[date, LatencyStats]
    total: LatencyStats  # since the ringing event, by UIS's clock
    ours: LatencyStats  # since we received the notification
    histogram: Mapping[float | None, Step]  # by upper bound in seconds; None: slower
    refused: int  # rejected by the CRM


def count_popups(tenant: Tenant | None, period: Period, *, reader: Reader = None) -> PopupStats:
    """Measure a period's pop-ups. Two queries; a row per distinct latency and day."""
    by_day, refused = _latencies(tenant, period, "ringing_at", reader)
    ours, _refused = _latencies(tenant, period, "received_at", reader)
    total = _merged(by_day.values())
    return PopupStats(
        by_day={day: LatencyStats.from_times(by_day.get(day, {})) for day in period.days},
        total=LatencyStats.from_times(total),
        ours=LatencyStats.from_times(_merged(ours.values())),
        histogram=_histogram(total),
        refused=refused,
    )


def percentile(times: Timestamps, share: float) -> float:
    """Return a percentile, interpolated linearly as percentile_cont does."""
    position = share * (sum(times.values()) - 1)
    below, above = _nth(times, int(position)), _nth(times, int(position) + (position % 1 > 0))
    return below + (above - below) * (position % 1)


def _merged(counters: Iterable[Timestamps]) -> Timestamps:
    total: Counter[int] = Counter()
    for times in counters:
        total.update(times)
    return total


def _nth(times: Timestamps, position: int) -> int:
    for value in sorted(times):
        position -= times[value]
        if position < 0:
            return value
    raise IndexError(position)


def _histogram(times: Timestamps) -> dict[float | None, Step]:
    counts: dict[float | None, int] = dict.fromkeys((*STEPS_SECONDS, None), 0)
    for hundredths, count in times.items():
        counts[next((seconds for seconds in STEPS_SECONDS if hundredths <= seconds * 100), None)] += count
    total = sum(counts.values())
    return {edge: Step(count, percent(count, total)) for edge, count in counts.items()}


def _latencies(
    tenant: Tenant | None, period: Period, since: str, reader: Reader
) -> tuple[dict[date, Counter[int]], int]:
    """Return the latencies of each day since the datetime `since`, and the number of rejected pop-ups. One query."""
    ended = Popup.objects.filter(Q(accepted_at__isnull=False) | Q(state=Popup.State.FAILED))
    took = DurationCentiseconds(F("accepted_at") - F(since))
    rows = period.filter_rows(ended, "received_at", tenant, reader=reader).annotate(took=took)
    by_day: dict[date, Counter[int]] = defaultdict(Counter)
    refused = 0
    for day, latency, count in rows.values_list("day", "took").annotate(times=Count("pk")):
        if latency is None:
            refused += count
        else:
            by_day[day][latency] += count
    return by_day, refused
