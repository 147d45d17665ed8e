"""How many calls would be expected in a time without events, and how likely it is that none came. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

HOUR = timedelta(hours=1)
HOURS_OF_DAY, HOURS_OF_WEEK, WEEKS_OF_YEAR = 24, 168, 52

# No alert before this: it may be a restart or a slow network.
MIN_DURATION, MIN_DURATION_OF_ALL = timedelta(minutes=15), timedelta(minutes=5)
LONGEST = timedelta(days=14)  # a longer look-back would change nothing
# Accept one false alarm in this many years, for each client and for the whole service.
FALSE_ALARM_YEARS = 10
SEVERAL = 3
# This many calls in UIS's report without an event are not a coincidence.
MIN_UNREPORTED_CALLS = 3
# For clients without a profile: no events for this long within business hours.
OF_WORK = HOUR


@dataclass(frozen=True)
class WeeklyProfile:
    """How many calls a client had in each local hour of the week, added up over `weeks` weeks."""

    hours: Sequence[int]
    weeks: int

    @property
    def yearly(self) -> float:
        """The expected number of calls in a year."""
        return sum(self.hours) * WEEKS_OF_YEAR / self.weeks

    def expected_calls(self, since: datetime, till: datetime, *, zone: ZoneInfo) -> float:
        """Return how many calls all weeks together had in the hours between two moments."""
        since = max(since, till - LONGEST)
        return sum(
            self.hours[local.weekday() * HOURS_OF_DAY + local.hour] * share
            for local, share in _local_hours(since, till, zone)
        )


def chance(count: float, weeks: int) -> float:
    """Return the probability of no calls in hours that had `count` calls in `weeks` weeks.

    Calls follow a Poisson distribution whose rate is itself estimated from these weeks only: four weeks with one call
    each do not guarantee one. With many weeks this approaches exp(-count / weeks).
    """
    return float((weeks / (weeks + 1)) ** count)


def is_unlikely(count: float, weeks: int, *, yearly: float) -> bool:
    """Return whether this happens by chance less than once in ten years, given the yearly number of calls."""
    return chance(count, weeks) * max(yearly, 1) * FALSE_ALARM_YEARS < 1


def _local_hours(since: datetime, till: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, float]]:
    """Yield each local hour between two moments, with the share of it that lies between them.

    Iterates in UTC: an hour repeated by a DST change counts twice, a skipped one not at all.
    """
    here = since.astimezone(UTC)
    while here < till:
        local = here.astimezone(zone)
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        end = min(here + HOUR - into, till)
        yield local, (end - here) / HOUR
        here = end
