"""What is done every two seconds, by one worker process of all.

Debounced calls and pop-up ends are queued, floods of webhooks limited, rounds of periodic work go on, and SQLite's log
is moved into the database.
"""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from connector_project.core import rate_limit, sqlite_log, sweeps, workers
from connector_project.core.compiled_queries import CompiledExists
from connector_project.core.models import PeriodicRound
from connector_project.core.placeholders import Placeholders
from connector_project.operations import tasks as operations_tasks
from crm import popup_ends
from crm import tasks as crm_tasks
from telephony import tasks
from telephony.models import Call
from telephony.webhooks import limits
from telephony.webhooks.receive import window_of
from tenants import periodic_work

EVERY_SECONDS = 2.0
# How often the other worker processes ask whether to take over: each time costs as much as a turn of a client.
STAND_BY_SECONDS = 5.0
PERIODIC_WORK = (*tasks.PERIODIC_WORK, *crm_tasks.PERIODIC_WORK, *operations_tasks.PERIODIC_WORK)
# A little less than `EVERY_SECONDS`, so that the same process has its turn again.
TICK_LIMIT = rate_limit.RateLimit("pulse", per_second=1.1 / EVERY_SECONDS)


def start(*, proc_name: str, **_signal: Any) -> None:
    """Start the ticker of this worker process (receiver of django-q's post_spawn)."""
    workers.repeat(tick, every_seconds=EVERY_SECONDS, proc_name=proc_name)


def tick() -> float | None:
    """Do it, unless another worker process has just done so; return when to ask again, if not after two seconds."""
    if not rate_limit.try_acquire(TICK_LIMIT):
        return STAND_BY_SECONDS
    now = timezone.now()
    is_many, is_repeated, is_limited, has_calls, has_popups, has_rounds = _SIGNS.fetch(now=now, window=window_of(now))
    parts = (
        (is_many or is_repeated or is_limited, tasks.limit_notifications),
        (has_calls, tasks.enqueue_debounced),
        (has_popups, crm_tasks.enqueue_popup_ends),
        (has_rounds, go_on_with_periodic_work),
        (True, sqlite_log.checkpoint),
    )
    sweeps.run_all(*(part for is_wanted, part in parts if is_wanted))
    return None


def go_on_with_periodic_work() -> None:
    periodic_work.go_on(PERIODIC_WORK, now=timezone.now())


def _signs(given: Placeholders) -> tuple[QuerySet[Any], ...]:
    """Mostly there is nothing to do: one statement asks for all of it."""
    now = given.moment("now")
    # Without the joins that find out whether a call may be processed: they would read all clients.
    calls = Call.objects.filter(state=Call.State.DEBOUNCING, next_attempt_at__lte=now)
    rounds = PeriodicRound.objects.filter(is_over=False)
    return *limits.signs(now, given.integer("window")), calls, popup_ends.due(now), rounds


_SIGNS = CompiledExists(_signs)
