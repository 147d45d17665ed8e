"""Virtual time, shared by the vendors and the product."""

import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from unittest import mock

import time_machine
from django.db import connection

# So many things at once, like workers and web processes do: each waits inside the one before.
MOST_AT_ONCE = 6

Act = Callable[[], None]


class Clock:
    """Moves from one event to the next. While one sleeps, or waits for an answer, the others go on."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._monotonic = 1000.0
        self._travel = time_machine.travel(start, tick=False)
        self._agenda: list[tuple[datetime, int, Act]] = []
        self._order = itertools.count()
        self._depth = 0
        self._thread = threading.get_ident()
        self._outermost = 0
        self.between: Act = lambda: None  # called whenever one event is over
        self.apart: Callable[[], AbstractContextManager[None]] = nullcontext  # what an event happens in
        # Who sleeps wakes up only after those who fell asleep while he slept: that is this world's fault alone.
        self.on_overslept: Callable[[timedelta], None] = lambda _late: None
        self.slept_in_transaction = 0

    def now(self) -> datetime:
        """Return the virtual time."""
        return self._now

    def at(self, moment: datetime, act: Act) -> None:
        """Let something happen at a moment; what is past happens at once."""
        heapq.heappush(self._agenda, (max(moment, self._now), next(self._order), act))

    def after(self, seconds: float, act: Act) -> None:
        """Let something happen in so many seconds."""
        self.at(self._now + timedelta(seconds=seconds), act)

    def run_until(self, moment: datetime) -> None:
        """Let everything happen that is due by then."""
        self._depth += 1
        self.between()
        try:
            while self._agenda and self._agenda[0][0] <= moment:
                at, _order, act = heapq.heappop(self._agenda)
                self._move_to(at)
                with self.apart():
                    act()
                self.between()
        finally:
            self._depth -= 1
        self._move_to(moment)

    def sleep(self, seconds: float) -> None:
        """Let time pass for whoever sleeps: inside a transaction nothing else happens, and it is counted as a fault."""
        # Never no time at all: who waits for what is left of a microsecond would wait for ever.
        moment = self._now + timedelta(microseconds=math.ceil(seconds * 1_000_000))
        if len(connection.atomic_blocks) > self._outermost:
            self.slept_in_transaction += 1
        elif self._depth < MOST_AT_ONCE:
            self.run_until(moment)
            return self.on_overslept(self._now - moment)
        self._move_to(moment)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Put the product on this clock."""
        self._outermost = len(connection.atomic_blocks)
        self._traveller = self._travel.start()
        really_sleep = time.sleep

        def monotonic() -> float:
            return self._monotonic

        def sleep(seconds: float) -> None:
            (self.sleep if threading.get_ident() == self._thread else really_sleep)(seconds)

        try:
            with mock.patch("time.sleep", sleep), mock.patch("time.monotonic", monotonic):
                yield
        finally:
            self._travel.stop()

    def _move_to(self, moment: datetime) -> None:
        if moment > self._now:
            passed = moment - self._now
            self._now = moment
            self._monotonic += passed.total_seconds()
            self._traveller.shift(passed)
