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

from connector_project.core import rate_limit

# The maximum of nested events, like workers and web processes: each runs while the previous one sleeps.
MAX_NESTED_EVENTS = 6

Act = Callable[[], None]


class Clock:
    """Advances from one event to the next. While one event sleeps or waits for an answer, the others continue."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._monotonic = 1000.0
        self._travel = time_machine.travel(start, tick=False)
        self._agenda: list[tuple[datetime, int, Act]] = []
        self._order = itertools.count()
        self._depth = 0
        self._thread = threading.get_ident()
        self._outermost = 0
        self.after_event: Act = lambda: None  # called after every event
        # a context manager around every event
        self.event_context: Callable[[], AbstractContextManager[None]] = nullcontext
        # An event resumes only after those that started during its sleep: the simulation causes this delay.
        self.on_overslept: Callable[[timedelta], None] = lambda _late: None
        self.slept_in_transaction = 0

    def now(self) -> datetime:
        return self._now

    @property
    def is_in_transaction(self) -> bool:
        """Whether the run itself is in a transaction, as a test with the fixture `db` is."""
        return self._outermost > 0

    def at(self, moment: datetime, act: Act) -> None:
        """Schedule `act`; a moment in the past means now."""
        heapq.heappush(self._agenda, (max(moment, self._now), next(self._order), act))

    def after(self, seconds: float, act: Act) -> None:
        self.at(self._now + timedelta(seconds=seconds), act)

    def run_until(self, moment: datetime) -> None:
        """Run all events that are due by then."""
        self._depth += 1
        self.after_event()
        try:
            while self._agenda and self._agenda[0][0] <= moment:
                at, _order, act = heapq.heappop(self._agenda)
                self._advance_to(at)
                with self.event_context():
                    act()
                self.after_event()
        finally:
            self._depth -= 1
        self._advance_to(moment)

    def sleep(self, seconds: float) -> None:
        """Sleep in virtual time while other events run; inside a transaction nothing else runs, and it is an error."""
        # Round up: a sleep of less than a microsecond would not advance the clock, and its caller would loop forever.
        moment = self._now + timedelta(microseconds=math.ceil(seconds * 1_000_000))
        if len(connection.atomic_blocks) > self._outermost:
            self.slept_in_transaction += 1
        elif self._depth < MAX_NESTED_EVENTS:
            self.run_until(moment)
            return self.on_overslept(self._now - moment)
        self._advance_to(moment)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Replace the product's clock with this one."""
        self._outermost = len(connection.atomic_blocks)
        self._traveller = self._travel.start()
        real_sleep = time.sleep

        def monotonic() -> float:
            return self._monotonic

        def sleep(seconds: float) -> None:
            (self.sleep if threading.get_ident() == self._thread else real_sleep)(seconds)

        def database_clock() -> str:
            return str(int(time.time() * rate_limit.MICROSECOND))

        try:
            with (
                mock.patch("time.sleep", sleep),
                mock.patch("time.monotonic", monotonic),
                mock.patch.object(rate_limit, "database_clock", database_clock),
            ):
                yield
        finally:
            self._travel.stop()

    def _advance_to(self, moment: datetime) -> None:
        if moment > self._now:
            passed = moment - self._now
            self._now = moment
            self._monotonic += passed.total_seconds()
            self._traveller.shift(passed)
