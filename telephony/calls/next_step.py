"""Queues the next step of calls: one task per tenant and state works off all that is due."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from connector_project.core import task_queue
from telephony import task_names
from telephony.models import Call, State

TASKS = {
    State.DEBOUNCING: task_names.EVALUATE,
    State.FETCHING_LEGS: task_names.FETCH_LEGS,
    State.RESOLVING_OWNER: task_names.RESOLVE_OWNERS,
    State.READY: task_names.UPLOAD_CALLS,
}


def enqueue(call: Call, *, now: datetime) -> None:
    """Queue the next step if the call is due and unclaimed. Needs a transaction."""
    if call.next_attempt_at is not None and call.next_attempt_at <= now and call.claim_token is None:
        task_queue.enqueue(TASKS[State(call.state)], call.tenant_id)


def enqueue_if_due(tenant_id: int, state: State, *, now: datetime) -> None:
    """Queue the next batch of one tenant if more is due, after other tenants' work."""
    if Call.objects.due(now=now).filter(tenant=tenant_id, state=state).exists():
        with transaction.atomic():
            task_queue.enqueue(TASKS[state], tenant_id)


def resume_due(*, tenant_id: int | None = None, states: Sequence[State] = tuple(TASKS), now: datetime) -> int:
    """Queue a task for every state with due calls, of one tenant or of all: losing the queue loses nothing."""
    due = Call.objects.due(now=now).filter(state__in=states).order_by().values_list("tenant_id", "state").distinct()
    if tenant_id is not None:
        due = due.filter(tenant=tenant_id)
    with transaction.atomic():
        for found, state in due:
            task_queue.enqueue(TASKS[State(state)], found)
    return len(due)
