"""What is done every two seconds, by one worker process of all: queue debounced calls, limit floods of webhooks."""

from typing import Any

from connector_project.core import rate_limit, sweeps, workers
from telephony import tasks

EVERY_SECONDS = 2.0
TICK_LIMIT = rate_limit.RateLimit("pulse", per_second=1 / EVERY_SECONDS)


def start(*, proc_name: str, **_signal: Any) -> None:
    """Start the ticker of this worker process (receiver of django-q's post_spawn)."""
    workers.repeat(tick, every_seconds=EVERY_SECONDS, proc_name=proc_name)


def tick() -> None:
    """Enqueue debounced calls and limit floods, unless another worker process has just done so."""
    if rate_limit.try_acquire(TICK_LIMIT):
        sweeps.run_all(tasks.limit_notifications, tasks.enqueue_debounced)
