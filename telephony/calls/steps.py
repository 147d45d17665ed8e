"""The steps of a call: how one can end, as values; the one function that writes that; and the task of the next one."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import OperationalError, transaction

from connector_project.core import logging, task_queue, transactions
from connector_project.core.http_client import RemoteUnavailable
from telephony import task_names
from telephony.models import Call, FailureReason, State, Step
from telephony.models.call import saving_changes
from telephony.models.call_log import log_many
from tenants.models import Connection

logger = logging.logger(__name__)

TASKS = {
    State.DEBOUNCING: task_names.EVALUATE,
    State.FETCHING_LEGS: task_names.FETCH_LEGS,
    State.RESOLVING_OWNER: task_names.RESOLVE_OWNERS,
    State.READY: task_names.UPLOAD_CALLS,
}


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The step is done, and the call enters `state`."""

    state: State
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """The call stays in its state until this moment."""

    until: datetime
    reason: FailureReason
    detail: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Retried:
    """The step is retried after a growing delay; after three days the call fails."""

    reason: FailureReason
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Unavailable:
    """The vendor did not answer: the step is retried when the vendor may be back."""

    vendor: Connection
    error: RemoteUnavailable
    reason: FailureReason


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The call stops until a person acts."""

    reason: FailureReason
    detail: str = ""


Outcome = Moved | Postponed | Retried | Unavailable | Failed
Results = Sequence[tuple[Call, Outcome]]


def decide_each(batch: Sequence[Call], decide: Callable[[Call], Outcome]) -> Results:
    """Return the outcome of each call; one that breaks our code fails alone."""
    return [(call, _decide_or_fail(call, decide)) for call in batch]


def finish(
    results: Results, step: Step, *, started: float, now: datetime, details: Mapping[int, dict[str, Any]] | None = None
) -> None:
    """Write the outcomes to the rows that are still claimed, log them, and queue the next steps.

    `started` is when the step began, by `time.monotonic()`.
    """
    try:
        _finish(results, step, started=started, now=now, details=details)
    except OperationalError as exc:
        # What the vendor was told must not be forgotten.
        transactions.run_again(exc, _finish, results, step, started=started, now=now, details=details)


@transaction.atomic
def _finish(
    results: Results, step: Step, *, started: float, now: datetime, details: Mapping[int, dict[str, Any]] | None
) -> None:
    outcomes = {call.pk: outcome for call, outcome in results}
    claimed = Call.objects.lock_claimed([call for call, _outcome in results])
    with saving_changes(claimed):
        for call in claimed:
            apply(call, outcomes[call.pk], now=now)
    log_many(claimed, step, now=now, milliseconds=round((time.monotonic() - started) * 1000), details=details)
    # One task per state is enough: it processes everything that is due.
    previous_states = {call.state for call, _outcome in results}
    for representative in {call.state: call for call in claimed if call.state not in previous_states}.values():
        enqueue(representative, now=now)


def apply(call: Call, outcome: Outcome, *, now: datetime) -> None:
    """Set what the outcome says, without saving."""
    match outcome:
        case Moved(state=state, changes=changes):
            _set(call, changes)
            call.move_to(state, now=now)
        case Postponed(until=until, reason=reason, detail=detail, changes=changes):
            _set(call, changes)
            call.postpone_until(until, reason, detail)
        case Retried(reason=reason, detail=detail):
            call.postpone(reason, detail, now=now)
        case Unavailable(vendor=vendor, error=error, reason=reason):
            call.postpone_for_vendor(vendor, error, reason, now=now)
        case Failed(reason=reason, detail=detail):
            call.fail(reason, detail, now=now)


def _set(call: Call, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        setattr(call, name, value)


def _decide_or_fail(call: Call, decide: Callable[[Call], Outcome]) -> Outcome:
    try:
        return decide(call)
    except Exception as exc:
        logger.exception("step failed", tenant=call.tenant.slug, call=call.session_id)
        return Failed(reason=FailureReason.INTERNAL_ERROR, detail=type(exc).__name__)


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
