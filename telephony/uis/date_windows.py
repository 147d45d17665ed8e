"""Splits date ranges: a UIS report covers at most three months."""

import itertools
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

# The shortest three months (from February, from 31 January, from 1 December).
LONGEST = timedelta(days=89)
FORM = "%Y-%m-%d %H:%M:%S"


def split(since: datetime, till: datetime, *, zone: ZoneInfo) -> list[tuple[str, str]]:
    """Split a window into parts a report can cover, in the account's local time as UIS formats it.

    Adjacent parts share their boundary so that no call is lost between them: a call on it is reported twice.
    """
    begin, end = (moment.astimezone(zone).replace(tzinfo=None) for moment in (since, till))
    bounds = [begin]
    while end - bounds[-1] > LONGEST:
        bounds.append(bounds[-1] + LONGEST)
    texts = [moment.strftime(FORM) for moment in (*bounds, end)]
    return list(itertools.pairwise(texts))
