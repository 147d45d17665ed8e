"""A rate limiter shared by all processes and machines, in Redis if REDIS_URL is set, else in the database.

Slots are evenly spaced (25 ms apart for 40 a second), so no window of one second, wherever the vendor starts it,
exceeds the limit. Live requests reserve the next slot even if it is in the future; other requests reserve a slot only
a moment before it is free, so that a pop-up waits for one request of a backlog at most, and no slot is lost meanwhile.
"""

import functools
import random
import time
from dataclasses import dataclass

import redis
from django.conf import settings
from django.db import connection

from connector_project.core import redis_client

MICROSECOND = 1_000_000
# Requests may arrive closer together than they were sent, and the vendor counts arrivals.
SAFETY_FACTOR = 1.04
# How early a request that is not live takes its slot: what it takes to ask for one, and to wake up.
MOMENT = 5_000
LIVE_WAIT_SECONDS = 3.0
LONGEST_WAIT_SECONDS = 20.0
# In microseconds; nobody reserves a slot so far ahead, so the clock was set back, and the slot is free.
FARTHEST = 10 * MICROSECOND

_TAKE = """
local now = redis.call('TIME')
now = tonumber(now[1]) * 1000000 + tonumber(now[2])
local free = tonumber(redis.call('GET', KEYS[1]) or '0')
if free > now + tonumber(ARGV[3]) then free = 0 end
local wait = math.max(free - now, 0)
if wait > tonumber(ARGV[2]) then return {wait, 0} end
redis.call('SET', KEYS[1], string.format('%.0f', math.max(free, now) + tonumber(ARGV[1])), 'PX', 60000)
return {wait, 1}
"""

# `slot.next_slot_at` is in the future by more than anybody reserves only after the clock was set back.
_FREE_AT = """
    CASE WHEN slot.next_slot_at > {clock} + %(farthest)s THEN {clock} ELSE slot.next_slot_at END
"""
_TAKE_IN_DATABASE = f"""
INSERT INTO core_ratelimitslot AS slot (name, next_slot_at) VALUES (%(name)s, {{clock}} + %(spacing)s)
ON CONFLICT (name) DO UPDATE
SET next_slot_at = CASE WHEN {_FREE_AT} > {{clock}} THEN slot.next_slot_at ELSE {{clock}} END + %(spacing)s
WHERE {_FREE_AT} - {{clock}} <= %(ahead)s
RETURNING next_slot_at, {{clock}}
"""  # noqa: S608 -- nothing of it is input
_WAIT_IN_DATABASE = f"SELECT {_FREE_AT} - {{clock}} FROM core_ratelimitslot slot WHERE name = %(name)s"  # noqa: S608 -- as above


class RateLimitExceeded(Exception):
    """No slot was free within the longest wait, or Redis is unavailable; retry later."""


@dataclass(frozen=True)
class RateLimit:
    """The allowed requests per second of one account."""

    name: str
    per_second: float

    @property
    def spacing(self) -> int:
        """Microseconds between two slots."""
        return int(MICROSECOND * SAFETY_FACTOR / self.per_second)


def acquire(budget: RateLimit, *, is_live: bool) -> None:
    """Sleep until this process may send one request.

    Raises RateLimitExceeded after 20 seconds, after 3 for live requests, and at once if Redis is unavailable.
    """
    ends_at = time.monotonic() + (LIVE_WAIT_SECONDS if is_live else LONGEST_WAIT_SECONDS)
    while True:
        left = max(ends_at - time.monotonic(), 0.0)
        try:
            wait, is_taken = _acquire(budget, ahead=int(left * MICROSECOND) if is_live else MOMENT)
        except redis.RedisError as exc:
            raise RateLimitExceeded(budget.name) from exc  # Without Redis the limit is unknown.
        if is_taken:
            return time.sleep(wait / MICROSECOND)
        if not left:
            raise RateLimitExceeded(budget.name)
        # Jitter, so that waiting processes do not all retry at the same moment: each within the moment before the slot.
        pause = (wait - MOMENT * random.uniform(0.1, 0.9)) / MICROSECOND  # noqa: S311 -- no secret depends on it
        time.sleep(min(pause, left))


def try_acquire(budget: RateLimit) -> bool:
    """Take a slot if one is free now; return whether there was one. Does not wait."""
    return _acquire(budget, ahead=0)[1]


def _acquire(budget: RateLimit, *, ahead: int) -> tuple[int, bool]:
    """Try to take a slot at most `ahead` microseconds from now; return the wait and whether the slot was taken."""
    return _take_in_redis(budget, ahead=ahead) if settings.REDIS_URL else _take_in_database(budget, ahead=ahead)


def _take_in_redis(budget: RateLimit, *, ahead: int) -> tuple[int, bool]:
    wait, is_taken = _script()(keys=[f"budget:{budget.name}"], args=[budget.spacing, ahead, FARTHEST])
    return int(wait), bool(is_taken)


@functools.cache
def _script() -> "redis.commands.core.Script":
    return redis_client.connect().register_script(_TAKE)


def _take_in_database(budget: RateLimit, *, ahead: int) -> tuple[int, bool]:
    """Take a slot by the database's clock: those of the machines differ, and one that is ahead would starve the others.

    One statement takes it, so only one of two processes gets it; if it is not free, another one asks for the wait.
    """
    values: dict[str, str | int] = {
        "name": budget.name,
        "spacing": budget.spacing,
        "ahead": ahead,
        "farthest": FARTHEST,
    }
    clock = database_clock()
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_IN_DATABASE.format(clock=clock), values)
        if row := cursor.fetchone():
            return max(row[0] - budget.spacing - row[1], 0), True
        cursor.execute(_WAIT_IN_DATABASE.format(clock=clock), values)
        row = cursor.fetchone()
    return (max(row[0], 1) if row else 1), False


def database_clock() -> str:
    """Return SQL for the present time of the database, in microseconds."""
    if connection.vendor == "sqlite":  # A database of one machine, which has one clock.
        return str(int(time.time() * MICROSECOND))
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)"
