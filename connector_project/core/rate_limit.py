"""A rate limiter shared by all processes and machines, in Redis if REDIS_URL is set, else in the database.

Slots are evenly spaced (25 ms apart for 40 a second), so no window of one second, wherever the vendor starts it,
exceeds the limit. Live requests reserve the next slot even if it is in the future; other requests wait until a slot is
free now, so that a backlog never delays a pop-up.
"""

import functools
import random
import time
from dataclasses import dataclass

import redis
from django.conf import settings

from connector_project.core.models import RateLimitSlot

MICROSECOND = 1_000_000
# Requests may arrive closer together than they were sent, and the vendor counts arrivals.
SAFETY_FACTOR = 1.04
LIVE_WAIT_SECONDS = 3.0
LONGEST_WAIT_SECONDS = 20.0

_TAKE = """
local now = redis.call('TIME')
now = tonumber(now[1]) * 1000000 + tonumber(now[2])
local free = tonumber(redis.call('GET', KEYS[1]) or '0')
local wait = math.max(free - now, 0)
if wait > tonumber(ARGV[2]) then return {wait, 0} end
redis.call('SET', KEYS[1], string.format('%.0f', math.max(free, now) + tonumber(ARGV[1])), 'PX', 60000)
return {wait, 1}
"""


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
            wait, is_taken = _acquire(budget, ahead=int(left * MICROSECOND) if is_live else 0)
        except redis.RedisError as exc:
            raise RateLimitExceeded(budget.name) from exc  # Without Redis the limit is unknown.
        if is_taken:
            return time.sleep(wait / MICROSECOND)
        if not left:
            raise RateLimitExceeded(budget.name)
        # Jitter, so that waiting processes do not all retry at the same moment.
        pause = wait / MICROSECOND * random.uniform(0.5, 1.0) + 0.001  # noqa: S311 -- no secret depends on it
        time.sleep(min(pause, left))


def try_acquire(budget: RateLimit) -> bool:
    """Take a slot if one is free now; return whether there was one. Does not wait."""
    return _acquire(budget, ahead=0)[1]


def _acquire(budget: RateLimit, *, ahead: int) -> tuple[int, bool]:
    """Try to take a slot at most `ahead` microseconds from now; return the wait and whether the slot was taken."""
    return _take_in_redis(budget, ahead=ahead) if settings.REDIS_URL else _take_in_database(budget, ahead=ahead)


def _take_in_redis(budget: RateLimit, *, ahead: int) -> tuple[int, bool]:
    wait, is_taken = _script()(keys=[f"budget:{budget.name}"], args=[budget.spacing, ahead])
    return int(wait), bool(is_taken)


@functools.cache
def _script() -> "redis.commands.core.Script":
    return redis.Redis.from_url(settings.REDIS_URL).register_script(_TAKE)


def _take_in_database(budget: RateLimit, *, ahead: int) -> tuple[int, bool]:
    while True:
        now = int(time.time() * MICROSECOND)
        slot, _is_new = RateLimitSlot.objects.get_or_create(name=budget.name, defaults={"next_slot_at": 0})
        begin = max(slot.next_slot_at, now)
        if begin - now > ahead:
            return begin - now, False
        # Optimistic lock: only the process that still finds the value it read takes the slot; the others try again.
        same = RateLimitSlot.objects.filter(name=budget.name, next_slot_at=slot.next_slot_at)
        if same.update(next_slot_at=begin + budget.spacing):
            return begin - now, True
