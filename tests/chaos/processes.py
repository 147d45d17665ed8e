"""Our web processes and workers: each may be killed at any request to a vendor or any write to a row."""

import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connection

from tests.chaos.clock import Clock

WRITES = ("INSERT", "UPDATE", "DELETE")
REMOTE, WRITE = "remote", "write"


class Killed(BaseException):
    """kill -9: the product must not catch it."""


class DeadlockDetected(Exception):
    """What the driver raises, as the cause of Django's error."""

    pgcode = "40P01"


@dataclass(frozen=True)
class KillPoint:
    """Where a process is killed: before or after the n-th write, or the n-th request to a vendor."""

    point: str
    number: int
    is_after: bool


@dataclass
class Process:
    """One task or one web request."""

    name: str
    began_at: datetime
    kill_point: KillPoint | None = None
    remotes: int = 0
    writes: int = 0
    overslept: timedelta = timedelta()

    def check_kill_point(self, point: str, number: int, *, is_after: bool) -> None:
        """Raise Killed if this is the kill point."""
        if self.kill_point == KillPoint(point, number, is_after):
            raise Killed


class Processes:
    """A stack of processes: the last one is running, those before it wait."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.clock, self.rng = clock, rng
        self.running: list[Process] = []
        self.killed: Counter[str] = Counter()
        self.bugs: list[str] = []
        self.kill_probability = 0.0
        self.deadlock_probability = 0.0
        self.is_down = False  # all of them: no request is answered, no task is run
        self.deadlocks: Counter[str] = Counter()
        # Called before each write: what another person does at that moment.
        self.before_write: Callable[[Process], None] = lambda _process: None
        # Whether an exception is the right answer to a fault: it then is no bug.
        self.is_expected: Callable[[Exception], bool] = lambda _exc: False
        clock.event_context, clock.on_overslept = self.outside, self._add_oversleep

    @property
    def current(self) -> Process | None:
        """The running process."""
        return self.running[-1] if self.running else None

    def run(self, name: str, act: Callable[[], object]) -> bool:
        """Run something as a separate process; return whether it was not killed."""
        process = Process(name, self.clock.now(), self._draw_kill_point())
        self.running.append(process)
        try:
            act()
        except Killed:
            self.killed[f"{name.rsplit('.', 1)[-1]} killed"] += 1
            return False
        except Exception as exc:  # noqa: BLE001 -- every exception is a bug
            if not self.is_expected(exc):
                self.bugs.append(f"{name} raised {type(exc).__name__} at {_where(exc)}")
        finally:
            self.running.pop()
        return True

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Run something outside of all processes, although one of them is waiting."""
        self.running.append(Process("outside", self.clock.now(), None))
        try:
            yield
        finally:
            self.running.pop()

    @contextmanager
    def intercept(self) -> Iterator[None]:
        """Intercept every database statement."""
        with connection.execute_wrapper(self._on_statement):
            yield

    def send(self, request: Callable[[], Any]) -> Any:
        """Let the running process send a request to a vendor."""
        process = self.current
        if process is None:
            return request()
        process.remotes += 1
        number = process.remotes
        process.check_kill_point(REMOTE, number, is_after=False)
        answer = request()
        process.check_kill_point(REMOTE, number, is_after=True)
        return answer

    def _add_oversleep(self, late: timedelta) -> None:
        if self.current is not None:
            self.current.overslept += late

    def _on_statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        process = self.current
        if process is None or not sql.startswith(WRITES):
            return execute(sql, params, many, context)
        process.writes += 1
        number = process.writes
        self.before_write(process)
        self._draw_deadlock(process)
        process.check_kill_point(WRITE, number, is_after=False)
        result = execute(sql, params, many, context)
        process.check_kill_point(WRITE, number, is_after=True)
        return result

    def _draw_deadlock(self, process: Process) -> None:
        """Let the transaction of a task lose a deadlock now and then. SQLite has none, so the database raises none."""
        is_task = process.name not in {"web", "outside", "ticker"}
        # A test's own transaction is none of the product.
        in_transaction = len(connection.atomic_blocks) > 0 and not self.clock.is_in_transaction
        if is_task and in_transaction and self.rng.random() < self.deadlock_probability:
            self.deadlocks["deadlocks"] += 1
            raise OperationalError("deadlock detected") from DeadlockDetected()

    def _draw_kill_point(self) -> KillPoint | None:
        """Draw whether and where a process is killed. Always draws four numbers, for reproducibility."""
        dies, point, number, is_after = (self.rng.random() for _ in range(4))
        if dies >= self.kill_probability:
            return None
        if point < 0.4:
            return KillPoint(REMOTE, 1 + int(number * 2), is_after < 0.5)
        return KillPoint(WRITE, 1 + int(number * 6), is_after < 0.5)


def _where(exc: BaseException) -> str:
    last = traceback.extract_tb(exc.__traceback__)[-1]
    return f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno} ({exc})"[:200]
