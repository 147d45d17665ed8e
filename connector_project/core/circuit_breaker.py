"""The circuit breaker towards a vendor that does not answer: growing back-off, then one half-open probe."""

from collections.abc import Sequence
from datetime import timedelta

PAUSES_SECONDS = (5, 15, 30, 60, 120, 300)
# How long one worker may probe before another one may.
PROBE_TERM = timedelta(minutes=1)
# Pop-ups and clicks are still sent until this many requests in a row have failed.
LIVE_FAILURE_THRESHOLD = 3
# Batches of one account in progress at the same time, so that a slow vendor cannot occupy all workers.
MAX_CONCURRENT_BATCHES = 2


def backoff(failures: int, *, wait: float | None, pauses: Sequence[int] = PAUSES_SECONDS) -> timedelta:
    """Return the back-off after this many failures in a row; `wait` is the vendor's Retry-After in seconds."""
    seconds = pauses[min(failures, len(pauses)) - 1]
    return timedelta(seconds=max(seconds, wait or 0))
