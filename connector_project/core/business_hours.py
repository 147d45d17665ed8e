"""Business-hours arithmetic in a tenant's time zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SATURDAY = 5


@dataclass(frozen=True)
class BusinessHours:
    """Business hours. If `ends` is not after `begins`, the shift ends on the next day."""

    begins: time
    ends: time
    on_weekends: bool

    def contains(self, moment: datetime, *, zone: ZoneInfo) -> bool:
        """Return whether a moment is within a shift; the end of a shift is exclusive."""
        here = moment.astimezone(zone).date()
        return any(begins <= moment < ends for begins, ends in self._shifts(here - DAY, here, zone=zone))

    def longest_overlap(self, since: datetime, till: datetime, *, zone: ZoneInfo) -> timedelta:
        """Return the longest overlap of a period with a single shift.

        It never shrinks as the period grows: a tenant without events at closing time still has none at night.
        """
        first, last = since.astimezone(zone).date() - DAY, till.astimezone(zone).date()
        since, till = since.astimezone(UTC), till.astimezone(UTC)
        shared = (min(ends, till) - max(begins, since) for begins, ends in self._shifts(first, last, zone=zone))
        return max([timedelta(0), *shared])

    def _shifts(self, first: date, last: date, *, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
        """Yield begin and end of the shifts of these days in UTC, so that durations are right across DST changes.

        A shift past midnight belongs to the day on which it began.
        """
        for day in (first + DAY * number for number in range((last - first).days + 1)):
            if self.on_weekends or day.weekday() < SATURDAY:
                begins = datetime.combine(day, self.begins, tzinfo=zone)
                ends = datetime.combine(day + DAY * (self.ends <= self.begins), self.ends, tzinfo=zone)
                yield begins.astimezone(UTC), ends.astimezone(UTC)
