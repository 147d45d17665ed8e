"""Enqueues calls whose debounce is over: every two seconds, from one worker process of all."""

import threading
from typing import Any

from django.db import DatabaseError, connection
from redis import RedisError

from connector_project.core import logging, rate_limit
from telephony import tasks

EVERY_SECONDS = 2.0
TICK_LIMIT = rate_limit.RateLimit("pulse", per_second=1 / EVERY_SECONDS)

logger = logging.logger(__name__)


def start(*, proc_name: str, **_signal: Any) -> None:
    """Start the ticker thread of this worker process (receiver of django-q's post_spawn)."""
    threading.Thread(target=_run, name=f"ticker of {proc_name}", daemon=True).start()


def _run() -> None:
    stop = threading.Event()
    while True:
        try:
            tick()
        except (DatabaseError, RedisError) as exc:
            logger.warning("debounced calls could not be queued", error=type(exc).__name__)
        finally:
            connection.close()
        stop.wait(EVERY_SECONDS)


def tick() -> None:
    """Enqueue debounced calls, unless another worker process has just done so."""
    if rate_limit.try_acquire(TICK_LIMIT):
        tasks.enqueue_debounced()
