"""What cannot wait for the minute's sweep: every two seconds one worker of all looks for calls that settled.

It also watches the clock: what was to be tried again at a moment that a clock set back has moved away is tried at once.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, connection
from django.utils import timezone
from redis import RedisError

from connector_project import budget, schedules
from crm import tasks as crm_tasks
from telephony import tasks

EVERY_SECONDS = 2.0
TURN = budget.Budget("pulse", per_second=1 / EVERY_SECONDS)
# Clocks are corrected by less than this all the time.
JUMP_SECONDS = 5.0

logger = logging.getLogger(__name__)


def start(*, proc_name: str, **_signal: Any) -> None:
    """Begin to look in this worker process (receiver of django-q's post_spawn)."""
    threading.Thread(target=_look_for_ever, name=f"pulse of {proc_name}", daemon=True).start()


def _look_for_ever() -> None:
    stop, clock = threading.Event(), Clock()
    while True:
        try:
            look(clock)
        except (DatabaseError, RedisError) as exc:
            logger.warning("Nobody could look for settled calls: %s", type(exc).__name__)
        finally:
            connection.close()
        stop.wait(EVERY_SECONDS)


def look(clock: "Clock") -> None:
    """Look once, if no other worker has just looked."""
    if clock.was_set_back():
        logger.warning("The clock was set back: all that waits for a moment is looked at now.")
        hurry()
    if budget.has_free_turn(TURN):
        tasks.wake()


def hurry() -> None:
    """Make due what waits for a moment that the clock has moved away; harmless if it is done twice."""
    tasks.hurry()
    crm_tasks.hurry()
    schedules.hurry(now=timezone.now())


def _offset() -> float:
    return time.time() - time.monotonic()


@dataclass
class Clock:
    """Notices when somebody sets the wall clock back."""

    offset: float = field(default_factory=_offset)

    def was_set_back(self) -> bool:
        """Say whether the clock was set back since the last question."""
        before, self.offset = self.offset, _offset()
        return self.offset - before < -JUMP_SECONDS
