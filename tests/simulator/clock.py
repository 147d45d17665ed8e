"""A clock that tests turn while processes run: a file holds the seconds by which it goes wrong.

What libfaketime does for a whole process, this does for Django's clock and for time.time: under Python 3.11 and later
time.sleep fails inside libfaketime as soon as it is told of a jump. Durations are measured by the monotonic clock,
which nobody turns.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.utils import timezone


def turn(file: Path, *, seconds: float) -> None:
    """Set by how much a clock is wrong; whoever reads it sees the old figure or the new one, never half of one."""
    fresh = file.with_suffix(".new")
    fresh.write_text(f"{seconds:.3f}")
    fresh.replace(file)


def reader(file: Path) -> Callable[[], float]:
    """Return a function that tells the seconds by which the clock is wrong now."""
    seen: tuple[int, float] = (-1, 0.0)

    def seconds() -> float:
        nonlocal seen
        changed = os.stat(file).st_mtime_ns
        if changed != seen[0]:
            seen = (changed, float(file.read_text()))
        return seen[1]

    return seconds


def turned_now(file: Path) -> Callable[[], datetime]:
    """Return a `now` that goes by the file."""
    seconds = reader(file)
    return lambda: datetime.now(UTC) + timedelta(seconds=seconds())


def follow(file: Path) -> None:
    """Let this process, and those it forks, go by the file."""
    timezone.now = turned_now(file)
    time.time = _Turned(time.time, reader(file)).tell


class _Turned:
    """A clock and how wrong it is. Its `tell` is a method already: a class that keeps it makes no other one of it."""

    def __init__(self, clock: Callable[[], float], seconds: Callable[[], float]) -> None:
        self.clock, self.seconds = clock, seconds

    def tell(self) -> float:
        """Return the turned time."""
        return self.clock() + self.seconds()
