"""The sweep over calls: queues the steps that are due, and fails the calls that break their workers."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from connector_project.core.jobs import BROKEN
from connector_project.core.task_queue import MAX_SWEPT, enqueue
from telephony.calls import steps, voice_mail
from telephony.models import Call, FailureReason, State, Step
from telephony.models.call import saving_changes
from telephony.models.call_log import log_many


def resume_due(*, tenant_id: int | None = None, states: Sequence[State] = tuple(steps.TASKS), now: datetime) -> int:
    """Queue a task for every state with due calls, of one tenant or of all: losing the queue loses nothing."""
    found = Call.objects.due(now=now).filter(state__in=states).order_by()
    if tenant_id is not None:
        found = found.filter(tenant=tenant_id)
    due = list(found.values_list("tenant_id", "state").distinct())
    if due:
        with transaction.atomic():
            for pk, state in due:
                enqueue(steps.TASKS[State(state)], pk)
    return len(due)


def fail_broken(*, now: datetime) -> int:
    """Fail calls that lost every lease, in the end alone: they break their workers. Return how many."""
    return _fail_broken(now=now) if Call.objects.is_any_due(now=now) else 0


@transaction.atomic
def _fail_broken(*, now: datetime) -> int:
    broken = Call.objects.filter(BROKEN, state__in=steps.TASKS, next_attempt_at__lte=now)
    calls = list(broken.select_for_update(of=("self",)).order_by("pk")[:MAX_SWEPT])
    with saving_changes(calls):
        for call in calls:
            call.fail(FailureReason.INTERNAL_ERROR, "its worker died each time", now=now)
    for state in {call.state for call in calls}:
        log_many([call for call in calls if call.state == state], steps.STEPS[State(state)], now=now)
    return len(calls)


@transaction.atomic
def end_waits(*, now: datetime) -> int:
    """Evaluate missed calls again for which UIS did not say in time whether there is a voice mail; return how many.

    A missed call that fetches its legs is decided, and waits for nothing else. A worker that holds one loses its claim
    only when its lease is over.
    """
    waiting = Call.objects.missed().filter(state=State.FETCHING_LEGS, failed_at=None)
    over = waiting.filter(
        Q(claim_token=None) | Q(next_attempt_at__lte=now), retry_window_started_at__lte=now - voice_mail.GIVEN_UP_AFTER
    )
    calls = list(over.select_for_update(of=("self",)).order_by("pk")[:MAX_SWEPT])
    with saving_changes(calls):
        for call in calls:
            call.move_to(State.DEBOUNCING, now=now)
    if calls:
        log_many(calls, Step.WAIT_ENDED, now=now)
    return len(calls)
