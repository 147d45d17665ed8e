"""How a step of a call can end, as values, and the one function that writes them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from connector_project.core import logging
from connector_project.core.http_client import RemoteUnavailable
from telephony.calls import next_step
from telephony.models import Call, FailureReason, State, Step
from telephony.models.call import bulk_save_changes, snapshot
from telephony.models.call_log import log_many
from tenants.models import Connection

logger = logging.logger(__name__)


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


class Timer:
    """Measures a step from its creation."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def milliseconds(self) -> int:
        return round((time.monotonic() - self._started) * 1000)


def decide_each(batch: Sequence[Call], decide: Callable[[Call], Outcome]) -> Results:
    """Return the outcome of each call; one that breaks our code fails alone."""
    return [(call, _decide_or_fail(call, decide)) for call in batch]


@transaction.atomic
def finish(
    results: Results, step: Step, *, timer: Timer, now: datetime, details: Mapping[int, dict[str, Any]] | None = None
) -> None:
    """Write the outcomes to the rows that are still claimed, log them, and queue the next steps."""
    outcomes = {call.pk: outcome for call, outcome in results}
    claimed = Call.objects.lock_claimed([call for call, _outcome in results])
    before = [snapshot(call) for call in claimed]
    for call in claimed:
        apply(call, outcomes[call.pk], now=now)
    bulk_save_changes(claimed, before)
    log_many(claimed, step, now=now, milliseconds=timer.milliseconds, details=details)
    # One task per state is enough: it processes everything that is due.
    previous_states = {call.state for call, _outcome in results}
    for representative in {call.state: call for call in claimed if call.state not in previous_states}.values():
        next_step.enqueue(representative, now=now)


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
