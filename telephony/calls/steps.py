"""The steps of a call: how one can end, as values; the one function that writes that; and the task of the next one."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, transaction

from connector_project.core import logging, task_queue, transactions
from connector_project.core.http_client import AccessDenied, RemoteUnavailable
from connector_project.core.jobs import DATABASE_FAULTS
from telephony import task_names
from telephony.calls import attribution, late_answers
from telephony.models import Call, FailureReason, State, Step
from telephony.models.call import moved, saving_changes
from telephony.models.call_log import log_many
from tenants.models import Connection
from tenants.transfer_rules import SkipReason

logger = logging.logger(__name__)
T = TypeVar("T")

TASKS = {
    State.DEBOUNCING: task_names.EVALUATE,
    State.FETCHING_LEGS: task_names.FETCH_LEGS,
    State.RESOLVING_OWNER: task_names.RESOLVE_OWNERS,
    State.READY: task_names.UPLOAD_CALLS,
}
STEPS = {
    State.DEBOUNCING: Step.EVALUATE,
    State.FETCHING_LEGS: Step.FETCH_LEGS,
    State.RESOLVING_OWNER: Step.RESOLVE_OWNER,
    State.READY: Step.UPLOAD,
}


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The step is done, and the call enters `state`."""

    state: State
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """The call stays in its state until this moment; if it waits for a vendor or for access, this was no attempt."""

    until: datetime
    reason: FailureReason
    detail: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Retried:
    """The step is retried after a growing delay; after three days of tries the call fails."""

    reason: FailureReason
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Unavailable:
    """The vendor did not answer: the step is retried when the vendor may be back."""

    vendor: Connection
    error: RemoteUnavailable
    reason: FailureReason


@dataclass(frozen=True, kw_only=True)
class Unexpected:
    """The answer was not as documented: the step is retried, later alone, and fails after several such answers."""

    reason: FailureReason = FailureReason.UNEXPECTED_REPLY
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Denied:
    """The vendor denied access: the step is retried when access may be granted. Recorded with the connection."""

    vendor: Connection
    error: AccessDenied
    reason: FailureReason


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The call stops until a person acts."""

    reason: FailureReason
    detail: str = ""


UPLOADED = Moved(state=State.UPLOADED)
DONE_STATES = (State.UPLOADED, State.SKIPPED)
Outcome = Moved | Postponed | Retried | Unavailable | Denied | Unexpected | Failed
Results = Sequence[tuple[Call, Outcome]]


def decide_each(batch: Sequence[Call], decide: Callable[[Call], Outcome]) -> Results:
    """Return the outcome of each call; one that breaks our code fails alone."""
    return [(call, isolate(call, functools.partial(decide, call))) for call in batch]


def finish(
    results: Results, step: Step, *, started: float, now: datetime, details: Mapping[int, dict[str, Any]] | None = None
) -> None:
    """Write the outcomes to the rows that are still claimed, log them, and queue the next steps.

    `started` is when the step began, by `time.monotonic()`. A call whose outcome cannot be written fails alone.
    """
    write = functools.partial(_write, step=step, started=started, now=now, details=details)
    if not results:
        return
    try:
        write(results)
    except OperationalError as exc:
        # What the vendor was told must not be forgotten.
        transactions.run_again(exc, write, results)
    except InterfaceError:
        raise
    except Exception:
        logger.exception("outcomes were not written; writing each alone", calls=len(results))
        for call, outcome in results:
            written = isolate(call, functools.partial(write, [(call, outcome)]))
            if isinstance(written, Failed):
                write([(call, written)])


def apply(call: Call, outcome: Outcome, *, now: datetime) -> None:
    """Set what the outcome says, without saving. What ends a call was decided by the rules of `call.tenant`.

    Until then `rule_version` is the version by which its owner was chosen.
    """
    match outcome:
        case Moved(state=state, changes=changes):
            decided = {"rule_version_id": call.tenant.rule_version_id} if state in DONE_STATES else {}
            _set(call, {**changes, **decided})
            call.move_to(state, now=now)
        case Postponed(until=until, reason=reason, detail=detail, changes=changes):
            _set(call, changes)
            call.postpone_until(until, reason, detail)
        case Retried(reason=reason, detail=detail):
            call.postpone(reason, detail, now=now)
        case Unavailable(vendor=vendor, error=error, reason=reason):
            call.postpone_for_vendor(vendor, error, reason, now=now)
        case Denied(vendor=vendor, error=error, reason=reason):
            denial = vendor.denied.get(error.subject)
            until = vendor.next_try_at(error.subject, now=now)
            call.postpone_until(until, reason, denial.message if denial else str(error))
        case Unexpected(reason=reason, detail=detail):
            call.postpone_unexpected(reason, detail, now=now)
        case Failed(reason=reason, detail=detail):
            call.fail(reason, detail, now=now)


def _set(call: Call, changes: Mapping[str, Any]) -> None:
    if attribution.DOCUMENT in changes:  # A notification may have told more while the step went on.
        changes = {**changes, **attribution.joined(call, changes)}
    for name, value in changes.items():
        setattr(call, name, value)


@transaction.atomic
def _write(
    results: Results, *, step: Step, started: float, now: datetime, details: Mapping[int, dict[str, Any]] | None
) -> None:
    known = {pk for pk, values in (details or {}).items() if values.get("known")}
    logged: dict[str, Any] = {}
    if not known and all(outcome == UPLOADED for _call, outcome in results):
        # Nothing is written that a notification may have changed meanwhile: the rows are not loaded again.
        batch = [call for call, _outcome in results]
        decided_by = batch[0].tenant.rule_version_id
        kept = Call.objects.update_claimed(batch, rule_version_id=decided_by, **moved(UPLOADED.state, now=now))
        claimed, logged = [call for call in batch if call.pk in kept], {"reason": FailureReason.NONE, "detail": ""}
    else:
        claimed = _save_each(results, now=now)
    milliseconds = round((time.monotonic() - started) * 1000)
    if known or any(call.state == State.SKIPPED for call in claimed):
        late_answers.note_contradicted(claimed, known=known, now=now)
    log_many(claimed, step, now=now, milliseconds=milliseconds, details=_with_version(results, details), **logged)
    if step == Step.UPLOAD and len(claimed) < len(results):
        late_answers.log_unclaimed(_unclaimed(results, claimed), details or {}, milliseconds=milliseconds, now=now)
    # One task per state is enough: it processes everything that is due.
    previous_states = {call.state for call, _outcome in results}
    for representative in {call.state: call for call in claimed if call.state not in previous_states}.values():
        enqueue(representative, now=now)


def _with_version(results: Results, details: Mapping[int, dict[str, Any]] | None) -> dict[int, dict[str, Any]]:
    """Return the details to log, with the number of the version that decided about each call that moves on."""
    number = results[0][0].tenant.current_version.number
    known = details or {}
    decided = [(call, outcome) for call, outcome in results if isinstance(outcome, Moved)]
    return {**known, **{call.pk: known.get(call.pk, {}) | _decision(call, one, number) for call, one in decided}}


def _decision(call: Call, outcome: Moved, number: int) -> dict[str, Any]:
    """Return by which version a call moves on; of one that is skipped also whose it was."""
    if outcome.state != State.SKIPPED:
        return {"version": number}
    return skip_details(call, outcome.changes["skip_reason"])


def skip_details(call: Call, rule: str) -> dict[str, Any]:
    """Return what the log keeps of a skip by the rules of now: with the call's row a replay decides by it."""
    found = {"version": call.tenant.current_version.number, "rule": rule}
    return {**found, "employee": call.employee.uis_id} if call.employee else found


def _save_each(results: Results, *, now: datetime) -> list[Call]:
    """Save the outcome of each call that is still claimed, and return these."""
    outcomes = {call.pk: outcome for call, outcome in results}
    tenants = {call.pk: call.tenant for call, _outcome in results}
    claimed = Call.objects.lock_claimed([call for call, _outcome in results])
    with saving_changes(claimed):
        for call in claimed:
            call.tenant = tenants[call.pk]  # with the version of the rules that the step has decided by
            apply(call, outcomes[call.pk], now=now)
    return claimed


def _unclaimed(results: Results, claimed: Sequence[Call]) -> Iterator[tuple[Call, FailureReason | None]]:
    """Yield the calls that were taken back from this worker meanwhile, with why they failed; None: uploaded."""
    ours = {call.pk for call in claimed}
    for call, outcome in results:
        if call.pk not in ours and (outcome == UPLOADED or not isinstance(outcome, Moved)):
            yield call, None if isinstance(outcome, Moved) else outcome.reason


def isolate(call: Call, act: Callable[[], T]) -> T | Failed:
    """Do something for one call; if our code breaks, return that this call fails. Faults of the database are raised."""
    try:
        return act()
    except DATABASE_FAULTS:
        raise
    except Exception as exc:
        logger.exception("step failed", tenant=call.tenant.slug, call=call.session_id)
        return Failed(reason=FailureReason.INTERNAL_ERROR, detail=type(exc).__name__)


def prepare(
    batch: Sequence[Call], build: Callable[[Sequence[Call]], Mapping[int, T]]
) -> tuple[dict[int, T], list[tuple[Call, Failed]]]:
    """Build something for each call of a batch, all at once. If that breaks, build each alone.

    Return what was built, by primary key, and the calls that break our code.
    """
    if not batch:
        return {}, []
    together = isolate(batch[0], functools.partial(build, batch))
    if not isinstance(together, Failed):
        return dict(together), []
    built, broken = dict[int, T](), list[tuple[Call, Failed]]()
    for call in batch:
        alone = isolate(call, functools.partial(build, [call]))
        if isinstance(alone, Failed):
            broken.append((call, alone))
        else:
            built |= alone
    return built, broken


def enqueue(call: Call, *, now: datetime) -> None:
    """Queue the next step if the call is due and unclaimed. Needs a transaction."""
    if call.next_attempt_at is not None and call.next_attempt_at <= now and call.claim_token is None:
        task_queue.enqueue(TASKS[State(call.state)], call.tenant_id)


def enqueue_if_due(tenant_id: int, state: State, *, now: datetime) -> None:
    """Queue the next batch of one tenant if more is due, after other tenants' work."""
    if Call.objects.due_priority(tenant_id, state, now=now) is not None:
        with transaction.atomic():
            task_queue.enqueue(TASKS[state], tenant_id)


def skip_expired(batch: Sequence[Call], *, before: datetime, now: datetime) -> list[Call]:
    """Skip the calls of a claimed batch that began before the upload window; return the others.

    With them go all other due ones of this client: no vendor is needed for that, so they must not take its probes.
    """
    tenant, state = batch[0].tenant, State(batch[0].state)
    old = [call for call in batch if call.started_at < before]
    if old:
        old += Call.objects.claim_expired(tenant, state, before=before, limit=task_queue.MAX_SWEPT, now=now)
        skipped = Moved(state=State.SKIPPED, changes={"skip_reason": SkipReason.EXPIRED})
        finish([(call, skipped) for call in old], STEPS[state], started=time.monotonic(), now=now)
    return [call for call in batch if call not in old]
