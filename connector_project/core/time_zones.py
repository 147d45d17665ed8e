"""The names of the IANA time zones that this machine knows."""

import functools
from zoneinfo import available_timezones


@functools.cache
def known() -> frozenset[str]:
    """Return all names. Reading them walks through the whole directory of zones (20 ms), so it happens once."""
    return frozenset(available_timezones())
