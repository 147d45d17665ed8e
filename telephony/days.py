"""A client's local days: where a moment belongs, where a day begins, which days a period holds. Pure."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


def day_of(moment: datetime, *, zone: ZoneInfo) -> date:
    """Return the local day of a moment."""
    return moment.astimezone(zone).date()


def begin(day: date, *, zone: ZoneInfo) -> datetime:
    """Return the moment a local day begins; where summer time swallows midnight, the first that there is."""
    return datetime.combine(day, time.min, tzinfo=zone)


def between(first: date, end: date) -> Iterator[date]:
    """Yield the days from `first` to the one before `end`."""
    while first < end:
        yield first
        first += DAY


def whole(since: datetime, till: datetime, *, zone: ZoneInfo) -> list[date]:
    """Return the local days that lie in a period from their first moment to their last."""
    first = day_of(since, zone=zone)
    if begin(first, zone=zone) < since:
        first += DAY
    return list(between(first, day_of(till, zone=zone)))
