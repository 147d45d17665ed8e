"""What is done every two seconds, by one worker process: queue debounced calls and pop-up ends, limit floods."""

from typing import Any

from connector_project.core import rate_limit, sweeps, workers
from crm import tasks as crm_tasks
from telephony import tasks

EVERY_SECONDS = 2.0
TICK_LIMIT = rate_limit.RateLimit("pulse", per_second=1 / EVERY_SECONDS)


def start(*, proc_name: str, **_signal: Any) -> None:
    """Start the ticker of this worker process (receiver of django-q's post_spawn)."""
    workers.repeat(tick, every_seconds=EVERY_SECONDS, proc_name=proc_name)


def tick() -> None:
    """Enqueue debounced calls and pop-up ends, and limit floods, unless another worker process has just done so."""
    if rate_limit.try_acquire(TICK_LIMIT):
        sweeps.run_all(tasks.limit_notifications, tasks.enqueue_debounced, crm_tasks.enqueue_popup_ends)
