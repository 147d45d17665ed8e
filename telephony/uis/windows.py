"""A report answers for three months at most: longer windows are cut. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

# The shortest three months there are (from February on, from 31 January, from 1 December).
LONGEST = timedelta(days=89)
FORM = "%Y-%m-%d %H:%M:%S"


def split(first: str, last: str) -> Iterator[tuple[str, str]]:
    """Cut a window, in the account's local time as UIS writes it, into parts it answers for.

    Neighbours share their border, so that no call can fall between two parts: a call on it is told of twice.
    """
    begin, end = datetime.strptime(first, FORM), datetime.strptime(last, FORM)  # noqa: DTZ007 -- UIS writes no zone
    while end - begin > LONGEST:
        yield begin.strftime(FORM), (begin + LONGEST).strftime(FORM)
        begin += LONGEST
    yield begin.strftime(FORM), last
