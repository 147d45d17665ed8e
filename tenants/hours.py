"""A client's working hours, by his clock. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SATURDAY = 5


@dataclass(frozen=True)
class Work:
    """When a client's day begins and ends. One that ends before it begins ends on the next day."""

    begins: time
    ends: time
    on_weekends: bool

    def holds(self, moment: datetime, *, zone: ZoneInfo) -> bool:
        """Say whether a moment lies within a shift; its end is outside."""
        here = moment.astimezone(zone).date()
        return any(begins <= moment < ends for begins, ends in self._shifts(here - DAY, here, zone=zone))

    def longest_in(self, since: datetime, till: datetime, *, zone: ZoneInfo) -> timedelta:
        """Return the longest time between two moments that lies within one shift.

        Once long enough, it stays so: who was silent when his day ended is no less so at night.
        """
        first, last = since.astimezone(zone).date() - DAY, till.astimezone(zone).date()
        since, till = since.astimezone(UTC), till.astimezone(UTC)
        shared = (min(ends, till) - max(begins, since) for begins, ends in self._shifts(first, last, zone=zone))
        return max([timedelta(0), *shared])

    def _shifts(self, first: date, last: date, *, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
        """Yield when the shifts of these days begin and end, in UTC: in real time, whatever the clocks do.

        A shift past midnight belongs to the day it began.
        """
        for day in (first + DAY * number for number in range((last - first).days + 1)):
            if self.on_weekends or day.weekday() < SATURDAY:
                begins = datetime.combine(day, self.begins, tzinfo=zone)
                ends = datetime.combine(day + DAY * (self.ends <= self.begins), self.ends, tzinfo=zone)
                yield begins.astimezone(UTC), ends.astimezone(UTC)
