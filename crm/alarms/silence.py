"""When no news is bad news: how many calls would have come, and how likely it is that none did. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

HOUR = timedelta(hours=1)
HOURS_OF_DAY, HOURS_OF_WEEK, WEEKS_OF_YEAR = 24, 168, 52

# Shorter than this is never called a silence: a restart, a slow network.
SHORTEST, SHORTEST_OF_ALL = timedelta(minutes=15), timedelta(minutes=5)
LONGEST = timedelta(days=14)  # looked back over; more would change nothing
# One false alarm in so many years is what we put up with, for each client and for the whole.
FALSE_ALARM_YEARS = 10
SEVERAL = 3
# Calls that UIS lists and no event told of: that many are no accident.
UNTOLD = 3
# Without a habit: no event for so long, all of it in working hours.
OF_WORK = HOUR


@dataclass(frozen=True)
class Habit:
    """How many calls a client had in each hour of his week, over so many weeks taken together."""

    hours: Sequence[int]
    weeks: int

    @property
    def yearly(self) -> float:
        """How many calls a year of such weeks has."""
        return sum(self.hours) * WEEKS_OF_YEAR / self.weeks

    def heard_in(self, since: datetime, till: datetime, *, zone: ZoneInfo) -> float:
        """Return how many calls all its weeks together had in the hours between two moments."""
        since = max(since, till - LONGEST)
        return sum(
            self.hours[local.weekday() * HOURS_OF_DAY + local.hour] * share
            for local, share in _local_hours(since, till, zone)
        )


def chance(heard: float, weeks: int) -> float:
    """Return how likely it is that nobody calls in hours that had so many calls in so many weeks.

    Calls come by Poisson, at a rate that is itself known from these weeks only: four weeks with one call each are
    no promise of one. With many weeks this becomes exp(-heard / weeks).
    """
    return float((weeks / (weeks + 1)) ** heard)


def is_unlikely(heard: float, weeks: int, *, yearly: float) -> bool:
    """Say whether such a silence comes about by chance less than once in ten years of as many calls as these."""
    return chance(heard, weeks) * max(yearly, 1) * FALSE_ALARM_YEARS < 1


def _local_hours(since: datetime, till: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, float]]:
    """Yield each local hour between two moments, with the part of it that lies between them.

    Steps are taken in real time: an hour that a change of clocks repeats counts twice, one it leaves out does not.
    """
    here = since.astimezone(UTC)
    while here < till:
        local = here.astimezone(zone)
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        end = min(here + HOUR - into, till)
        yield local, (end - here) / HOUR
        here = end
