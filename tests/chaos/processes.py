"""Our web processes and workers as they run: each may be killed at any request to a vendor or any write to a row."""

import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from tests.chaos.clock import Clock

WRITES = ("INSERT", "UPDATE", "DELETE")
REMOTE, WRITE = "remote", "write"


class Killed(BaseException):
    """kill -9: nothing of ours may catch it."""


@dataclass(frozen=True)
class Doom:
    """Where a process dies: at the n-th write, or the n-th request to a vendor, before it or after it."""

    point: str
    number: int
    is_after: bool


@dataclass
class Process:
    """One task or one web request."""

    name: str
    began_at: datetime
    doom: Doom | None = None
    remotes: int = 0
    writes: int = 0
    overslept: timedelta = timedelta()

    def pass_by(self, point: str, number: int, *, is_after: bool) -> None:
        """Die here, if this is the place."""
        if self.doom == Doom(point, number, is_after):
            raise Killed


class Processes:
    """All of them; the last one is running, those before it wait."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.clock, self.rng = clock, rng
        self.running: list[Process] = []
        self.killed: Counter[str] = Counter()
        self.bugs: list[str] = []
        self.share_killed = 0.0
        clock.apart, clock.on_overslept = self.apart, self._oversleep

    @property
    def current(self) -> Process | None:
        """The process that is running now."""
        return self.running[-1] if self.running else None

    def run(self, name: str, act: Callable[[], object]) -> bool:
        """Run something as a process of its own; say whether it came to its end."""
        process = Process(name, self.clock.now(), self._doom())
        self.running.append(process)
        try:
            act()
        except Killed:
            self.killed[f"{name.rsplit('.', 1)[-1]} killed"] += 1
            return False
        except Exception as exc:  # noqa: BLE001 -- whatever it is, it is a finding
            self.bugs.append(f"{name} raised {type(exc).__name__} at {_where(exc)}")
        finally:
            self.running.pop()
        return True

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Let something happen that is the deed of none of them, least of all of one that waits meanwhile."""
        self.running.append(Process("nobody", self.clock.now(), None))
        try:
            yield
        finally:
            self.running.pop()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See every statement that goes to the database."""
        with connection.execute_wrapper(self._on_statement):
            yield

    def ask(self, request: Callable[[], Any]) -> Any:
        """Let the running process make a request to a vendor."""
        process = self.current
        if process is None:
            return request()
        process.remotes += 1
        number = process.remotes
        process.pass_by(REMOTE, number, is_after=False)
        answer = request()
        process.pass_by(REMOTE, number, is_after=True)
        return answer

    def _oversleep(self, late: timedelta) -> None:
        if self.current is not None:
            self.current.overslept += late

    def _on_statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        process = self.current
        if process is None or not sql.startswith(WRITES):
            return execute(sql, params, many, context)
        process.writes += 1
        number = process.writes
        process.pass_by(WRITE, number, is_after=False)
        result = execute(sql, params, many, context)
        process.pass_by(WRITE, number, is_after=True)
        return result

    def _doom(self) -> Doom | None:
        """Draw whether and where a process dies. The same number of draws for each, whatever comes of it."""
        dies, point, number, is_after = (self.rng.random() for _ in range(4))
        if dies >= self.share_killed:
            return None
        if point < 0.4:
            return Doom(REMOTE, 1 + int(number * 2), is_after < 0.5)
        return Doom(WRITE, 1 + int(number * 6), is_after < 0.5)


def _where(exc: BaseException) -> str:
    last = traceback.extract_tb(exc.__traceback__)[-1]
    return f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno} ({exc})"[:200]
