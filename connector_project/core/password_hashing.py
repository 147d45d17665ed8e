"""Password hashing that cannot occupy the whole web process: a hash takes about half a second of CPU."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.hashers import PBKDF2PasswordHasher

AT_ONCE = 2
# More threads than these do not even wait: webhooks need the others.
WAITING = 1
WAIT_SECONDS = 1.0

_turns = threading.BoundedSemaphore(AT_ONCE)
_places = threading.BoundedSemaphore(AT_ONCE + WAITING)


class HashingBusy(Exception):
    """Too many passwords are being hashed in this process; the request is answered with 429."""


@contextmanager
def turn() -> Iterator[None]:
    """Wait for one of the two turns of this process. Raises HashingBusy."""
    if not _places.acquire(blocking=False):
        raise HashingBusy
    try:
        if not _turns.acquire(timeout=WAIT_SECONDS):
            raise HashingBusy
        try:
            yield
        finally:
            _turns.release()
    finally:
        _places.release()


def refuse_if_full() -> None:
    """Refuse a request before it costs anything if its password would not even wait. Raises HashingBusy."""
    if not _places.acquire(blocking=False):
        raise HashingBusy
    _places.release()


class LimitedPBKDF2PasswordHasher(PBKDF2PasswordHasher):
    """Django's hasher, whose every computation needs a turn: also that for a name that nobody has."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with turn():
            return super().encode(password, salt, iterations)
