"""A clock that tests shift while processes run: a file holds the offset in seconds.

libfaketime could do this for a whole process, but from Python 3.11 on time.sleep fails inside it after a jump.
So only Django's clock and time.time are shifted; durations use the monotonic clock, which is not.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.utils import timezone


def set_offset(file: Path, *, seconds: float) -> None:
    """Set the offset in seconds; readers see the old value or the new one, never a partial write."""
    temporary = file.with_suffix(".new")
    temporary.write_text(f"{seconds:.3f}")
    temporary.replace(file)


def offset_reader(file: Path) -> Callable[[], float]:
    """Return a function that returns the current offset in seconds."""
    cached: tuple[int, float] = (-1, 0.0)

    def seconds() -> float:
        nonlocal cached
        modified_at = os.stat(file).st_mtime_ns
        if modified_at != cached[0]:
            cached = (modified_at, float(file.read_text()))
        return cached[1]

    return seconds


def shifted_now(file: Path) -> Callable[[], datetime]:
    """Return a `now` function that applies the offset in the file."""
    seconds = offset_reader(file)
    return lambda: datetime.now(UTC) + timedelta(seconds=seconds())


def install(file: Path) -> None:
    """Shift the clock of this process, and of those it forks."""
    timezone.now = shifted_now(file)
    time.time = _ShiftedClock(time.time, offset_reader(file)).time_now


class _ShiftedClock:
    """A shifted clock. A bound method, unlike a function, can be stored as a class attribute without being rebound."""

    def __init__(self, clock: Callable[[], float], seconds: Callable[[], float]) -> None:
        self.clock, self.seconds = clock, seconds

    def time_now(self) -> float:
        return self.clock() + self.seconds()
