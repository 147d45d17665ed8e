"""What is done every two seconds, by one worker process of all.

Debounced calls and pop-up ends are queued, floods of webhooks limited, rounds of periodic work go on, and SQLite's log
is moved into the database.
"""

from typing import Any

from django.utils import timezone

from connector_project.core import rate_limit, sqlite_log, sweeps, workers
from connector_project.operations import tasks as operations_tasks
from crm import tasks as crm_tasks
from telephony import tasks
from tenants import periodic_work

EVERY_SECONDS = 2.0
PERIODIC_WORK = (*tasks.PERIODIC_WORK, *crm_tasks.PERIODIC_WORK, *operations_tasks.PERIODIC_WORK)
TICK_LIMIT = rate_limit.RateLimit("pulse", per_second=1 / EVERY_SECONDS)


def start(*, proc_name: str, **_signal: Any) -> None:
    """Start the ticker of this worker process (receiver of django-q's post_spawn)."""
    workers.repeat(tick, every_seconds=EVERY_SECONDS, proc_name=proc_name)


def tick() -> None:
    """Do it, unless another worker process has just done so."""
    if rate_limit.try_acquire(TICK_LIMIT):
        sweeps.run_all(
            tasks.limit_notifications,
            tasks.enqueue_debounced,
            crm_tasks.enqueue_popup_ends,
            go_on_with_periodic_work,
            sqlite_log.checkpoint,
        )


def go_on_with_periodic_work() -> None:
    periodic_work.go_on(PERIODIC_WORK, now=timezone.now())
