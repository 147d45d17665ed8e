"""Splits date ranges: a UIS report covers at most three months."""

from datetime import datetime, timedelta

# The shortest three months (from February, from 31 January, from 1 December).
LONGEST = timedelta(days=89)
FORM = "%Y-%m-%d %H:%M:%S"


def split(first: str, last: str) -> list[tuple[str, str]]:
    """Split a window, in the account's local time as UIS formats it, into parts a report can cover.

    Adjacent parts share their boundary so that no call is lost between them: a call on it is reported twice.
    """
    begin, end = datetime.strptime(first, FORM), datetime.strptime(last, FORM)  # noqa: DTZ007 -- UIS writes no zone
    parts = []
    while end - begin > LONGEST:
        parts.append((begin.strftime(FORM), (begin + LONGEST).strftime(FORM)))
        begin += LONGEST
    return [*parts, (begin.strftime(FORM), last)]
