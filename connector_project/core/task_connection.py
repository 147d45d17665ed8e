"""The database connection of tasks: checked only after a rest, and opened anew if the server has closed it."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection

from connector_project.core import logging
from connector_project.core.transactions import run_again_on_conflict

# After this time without a task the connection is checked, as CONN_HEALTH_CHECKS would do before each task.
RESTED_SECONDS = 1.0

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.logger(__name__)
_ended_at = 0.0


def run_task(action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a task, and again if the database broke its transaction off, or has closed the connection.

    Running it again repeats no remote request that must be made once: it is made behind a claim, which is not given
    twice. Raises what the task raises.
    """
    global _ended_at  # noqa: PLW0603 -- a worker runs its tasks one after the other
    if connection.connection is not None and time.monotonic() - _ended_at < RESTED_SECONDS:
        connection.health_check_done = True  # type: ignore[attr-defined]  # the stubs lack it
    try:
        return run_again_on_conflict(action, *args, **kwargs)
    except (InterfaceError, OperationalError):
        if connection.in_atomic_block or connection.connection is None or connection.is_usable():
            raise
        logger.warning("the database has closed the connection; the task is run again")
        connection.close()
        return run_again_on_conflict(action, *args, **kwargs)
    finally:
        _ended_at = time.monotonic()
