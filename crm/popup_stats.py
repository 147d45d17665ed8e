"""Pop-up latency: from the ringing event to the CRM's acceptance, for one client or all."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Self

from crm.models import DailyPopups, DailyPopupsOfAll, PopupDelta
from crm.models.daily_popups import LatencyPart
from crm.popup_rollup import POPUPS
from telephony.reconciliation.stats import percent
from telephony.stats.period import Period, of_tenants
from tenants.models import Tenant
from tenants.visibility import Reader, sees_all

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
    """Measure a period's pop-ups. Two queries. With other figures, within `rollups.read`."""
    counted = _count(tenant, period, reader)
    total = _merged(counted.since_ringing.values())
    return PopupStats(
        by_day={day: LatencyStats.from_times(counted.since_ringing[day]) for day in period.days},
        total=LatencyStats.from_times(total),
        ours=LatencyStats.from_times(counted.since_receipt),
        histogram=_histogram(total),
        refused=counted.refused,
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


@dataclass
class _Counted:
    since_ringing: defaultdict[date, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    since_receipt: Counter[int] = field(default_factory=Counter)
    refused: int = 0

    def add(self, day: date, part: LatencyPart, count: int) -> None:
        name, latency = part
        if name == "refused":
            self.refused += count
        else:
            (self.since_ringing[day] if name == "since_ringing" else self.since_receipt)[int(latency)] += count

    def without_zeros(self) -> Self:
        """A delta may have taken away all that was stored."""
        for day, times in self.since_ringing.items():
            self.since_ringing[day] = +times
        self.since_receipt = +self.since_receipt
        return self


def _count(tenant: Tenant | None, period: Period, reader: Reader) -> _Counted:
    """Sum the stored pop-ups and the deltas of a period."""
    counted = _Counted()
    is_of_all = tenant is None and sees_all(reader)
    rows = DailyPopupsOfAll.objects.all() if is_of_all else DailyPopups.objects.all()
    for row in period.filter_days(rows, tenant, reader):
        for part, count in row.parts().items():
            counted.add(row.day, part, count)
    for (_model, key, part), count in POPUPS.pending(of_tenants(PopupDelta.objects.all(), tenant, reader)).items():
        if key[1] in period:
            counted.add(key[1], part, count)
    return counted.without_zeros()
