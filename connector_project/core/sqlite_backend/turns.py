"""The turn to write to an SQLite database, among the threads of all processes.

SQLite has one lock for all writers, lets them sleep ever longer, and wakes none when it is free: of two processes one
may get it a hundred times while the other one sleeps. The turn decides nothing: without it SQLite's own lock does.
"""

import fcntl
import functools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TURN_SECONDS = 5.0
TRY_SECONDS = 0.0001
# Who waits behind the next one asks less often: a turn takes longer than this.
TRY_TO_BE_NEXT_SECONDS = 0.0005


class _Threads:
    """The lock of the threads of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def forget(self) -> None:
        """Another thread may have held it when this process was forked."""
        self.lock = threading.Lock()


threads = _Threads()
os.register_at_fork(after_in_child=threads.forget)


@contextmanager
def turn_to_write(database: str) -> Iterator[None]:
    """Wait for the turn to write to this file; who waits too long goes on all the same."""
    ends_at, lock = time.monotonic() + TURN_SECONDS, threads.lock
    if not lock.acquire(timeout=TURN_SECONDS):
        yield
        return
    try:
        with _turn_of_process(database, ends_at):
            yield
    finally:
        lock.release()


@contextmanager
def _turn_of_process(database: str, ends_at: float) -> Iterator[None]:
    """Lock the file of the turns. Who waits for it holds a second lock, so that the last one cannot be the next one."""
    turn, queue = (_turn_file(database, name, os.getpid()) for name in ("turn", "next"))
    is_next = _lock(queue, ends_at, pause=TRY_TO_BE_NEXT_SECONDS)
    has_turn = _lock(turn, ends_at, pause=TRY_SECONDS)
    if is_next:
        fcntl.flock(queue, fcntl.LOCK_UN)
    try:
        yield
    finally:
        if has_turn:
            fcntl.flock(turn, fcntl.LOCK_UN)


def _lock(file: int, ends_at: float, *, pause: float) -> bool:
    """Lock a file. Asks for it again and again: to wait for a lock of a file has no time-out."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends_at:
                return False
            time.sleep(pause)
        else:
            return True


@functools.lru_cache(maxsize=8)
def _turn_file(database: str, name: str, _pid: int) -> int:
    """Open a file that the processes lock in turn. Each process has its own lock."""
    return os.open(f"{database}-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
