"""Heartbeats of worker processes, and the queues that have no live worker."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from connector_project.core import logging, task_queue
from connector_project.core.compiled_queries import CompiledSelect, CompiledUpdate
from connector_project.core.jobs import worker_name
from connector_project.core.models import LIVE_FOR, WorkerHeartbeat
from connector_project.core.placeholders import Placeholders
from connector_project.core.task_queue import Queue

QUEUES = task_queue.QUEUES
HEARTBEAT_SECONDS = 10.0
STALE_AFTER = timedelta(minutes=10)

logger = logging.logger(__name__)


def repeat(action: Callable[[], float | None], *, every_seconds: float, proc_name: str) -> None:
    """Start a thread of this worker process that repeats an action, whatever it raises.

    The action may return after how many seconds it wants to run again.
    If the thread ends all the same, it kills its process, and the supervisor replaces it.
    """

    def run() -> None:
        try:
            while True:
                time.sleep(_run_once(action) or every_seconds)
        finally:
            # Nothing else would show that this process only seems to be well.
            logger.critical("a repeated action has ended; its worker is replaced", action=action.__name__)
            _end_process()

    threading.Thread(target=run, name=f"{action.__name__} of {proc_name}", daemon=True).start()


def _run_once(action: Callable[[], float | None]) -> float | None:
    """Run the action; whatever it raises is logged. The thread keeps its connection, but not after an error."""
    try:
        # Every few seconds a new one would cost several times what the actions do.
        connection.close_if_unusable_or_obsolete()
        # It was used seconds ago. If it is lost all the same, the action fails once, and runs again with a new one.
        connection.health_check_done = True  # type: ignore[attr-defined]
        return action()
    except Exception:
        logger.exception("a repeated action failed", action=action.__name__)
        _close_connection()
        return None


def _close_connection() -> None:
    try:
        connection.close()
    except Exception:
        logger.exception("a connection was not closed")


def _end_process() -> None:
    # Killed, and not exited: the supervisor then restarts the pool, whose queue this process may have locked.
    os.kill(os.getpid(), signal.SIGKILL)


def start_heartbeats(*, proc_name: str, **_signal: Any) -> None:
    """Start the heartbeats of this worker process (receiver of django-q's post_spawn)."""
    repeat(record_heartbeat, every_seconds=HEARTBEAT_SECONDS, proc_name=proc_name)


def record_heartbeat() -> None:
    """Record the heartbeat of this process."""
    now = timezone.now()
    queue = os.environ.get("Q_CLUSTER_NAME") or settings.Q_CLUSTER["name"]
    beat = {"queue": queue, "last_seen_at": now}
    if not _BEAT.run(name=worker_name(), **beat):
        WorkerHeartbeat.objects.update_or_create(name=worker_name(), defaults=beat)


def forget_stopped(*, now: datetime) -> None:
    """Every minute: delete heartbeats older than ten minutes."""
    if _STALE.fetch(now=now):
        WorkerHeartbeat.objects.filter(last_seen_at__lt=now - STALE_AFTER).delete()


def _beat(given: Placeholders) -> Any:
    values = {name: given.value_of(WorkerHeartbeat._meta.get_field(name)) for name in ("queue", "last_seen_at")}
    return WorkerHeartbeat.objects.filter(name=given.text("name")), values


_BEAT = CompiledUpdate(_beat)
_STALE: CompiledSelect[tuple[str]] = CompiledSelect(
    lambda given: WorkerHeartbeat.objects.filter(last_seen_at__lt=given.moment("now") - STALE_AFTER).values_list(
        "name"
    )[:1]
)


def queues_without_workers(known: Iterable[WorkerHeartbeat], *, now: datetime) -> dict[Queue, datetime | None]:
    """Return each queue without a recent heartbeat, with its last known heartbeat."""
    heartbeats = {
        name: max((worker.last_seen_at for worker in known if worker.queue == name), default=None) for name in QUEUES
    }
    return {
        name: heartbeat for name, heartbeat in heartbeats.items() if heartbeat is None or now - heartbeat > LIVE_FOR
    }


def find_queues_without_workers(*, now: datetime) -> dict[Queue, datetime | None]:
    return queues_without_workers(WorkerHeartbeat.objects.all(), now=now)
