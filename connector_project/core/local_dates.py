"""Local calendar days of a time zone. Pure."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


def day_of(moment: datetime, *, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def begin(day: date, *, zone: ZoneInfo) -> datetime:
    """Return the first moment of a local day; where DST skips midnight, the first that exists."""
    return datetime.combine(day, time.min, tzinfo=zone)


def between(first: date, end: date) -> Iterator[date]:
    """Yield the days from `first` up to, but not including, `end`."""
    while first < end:
        yield first
        first += DAY


def whole(since: datetime, till: datetime, *, zone: ZoneInfo) -> list[date]:
    """Return the local days that lie completely inside a period."""
    first = day_of(since, zone=zone)
    if begin(first, zone=zone) < since:
        first += DAY
    return list(between(first, day_of(till, zone=zone)))
