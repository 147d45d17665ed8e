"""Transactions that the database broke off for another one: they wrote nothing, and are simply run again.

Two transactions that wait for each other end with a deadlock error in one of them; SQLite ends one that could not get
its lock in time.
"""

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection, transaction

from connector_project.core import logging

MAX_TRIES = 4
PAUSE_SECONDS = 0.05
_CODES = frozenset({"40P01", "40001"})  # deadlock detected, could not serialize access
_LOCKED = "is locked"  # SQLite: database is locked, database table is locked

logger = logging.logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def is_conflict(exc: BaseException | None) -> bool:
    """Return whether the database broke a transaction off for another one, so that it may be run again."""
    if not isinstance(exc, OperationalError):
        return False
    code = getattr(exc.__cause__, "pgcode", None) or getattr(exc.__cause__, "sqlstate", None)
    return code in _CODES or (connection.vendor == "sqlite" and _LOCKED in str(exc))


def run_again_on_conflict(action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run the action, and again if the database broke its transaction off: four times, after short random pauses.

    Inside a transaction it runs once: only the whole transaction can be run again. The action must do no harm if its
    first part has been done before, so a remote request belongs behind a claim, or outside.
    """
    for number in range(1, MAX_TRIES):
        try:
            return action(*args, **kwargs)
        except OperationalError as exc:
            if connection.in_atomic_block or not is_conflict(exc):
                raise
            logger.warning("the database broke a transaction off; it is run again", number=number)
        # Random, so that the two do not meet again.
        time.sleep(PAUSE_SECONDS * 2**number * random.uniform(0.2, 1.0))  # noqa: S311 -- no secret depends on it
    return action(*args, **kwargs)


def run_again(exc: OperationalError, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run an action again whose transaction the database broke off with this exception; raise any other one."""
    if connection.in_atomic_block or not is_conflict(exc):
        raise exc
    return run_again_on_conflict(action, *args, **kwargs)


def atomic(function: Callable[P, T]) -> Callable[P, T]:
    """Run the function in a transaction, and again if the database broke that off.

    It must be able to begin anew with arguments that it has changed.
    """
    in_transaction = transaction.atomic(function)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_again_on_conflict(in_transaction, *args, **kwargs)

    return run
