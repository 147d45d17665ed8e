"""The steps of a finished call: created once, evaluated, skipped by a rule or sent to the next step."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from connector_project.core.task_queue import enqueue
from telephony import task_names
from telephony.calls import sources
from telephony.calls.evidence import UisSnapshot, dump
from telephony.calls.resolution import CallResolution, ResolutionStatus
from telephony.calls.sources import StaffDirectory
from telephony.models import Call, FailureReason, State, Step
from telephony.models.call import bulk_save_changes, snapshot
from telephony.models.call_log import log_many
from telephony.uis.types import CallEvent, EndedEvent
from tenants.models import Employee, Tenant, TransferRules
from tenants.transfer_rules import RuleSet, SkipReason

logger = logging.getLogger(__name__)

# Calls that began earlier than this get low priority.
LOW_PRIORITY_AFTER = timedelta(hours=3)
# Skip reasons that do not depend on the owner.
OWNER_INDEPENDENT_REASONS = {SkipReason.INTERNAL_OFF, SkipReason.EXPIRED}

NEXT = {
    Call.State.DEBOUNCING: task_names.EVALUATE,
    Call.State.FETCHING_LEGS: task_names.FETCH_LEGS,
    Call.State.RESOLVING_OWNER: task_names.RESOLVE_OWNERS,
    Call.State.READY: task_names.UPLOAD_CALLS,
}


def create_from_report(tenant: Tenant, reported: EndedEvent, *, staff: StaffDirectory, now: datetime) -> Call:
    """Create a call found in UIS's report. Needs a transaction.

    The caller enqueues the next steps of all its calls together, with `resume_due`.
    """
    call = locked(tenant, reported.session_id)
    if call is not None and not is_within_term_again(call, now=now):
        return call
    call = call or new(tenant, reported, origin=Call.Origin.REPORT, now=now)
    call.is_low_priority, call.retry_window_started_at = call.is_low_priority or call.pk is not None, now
    _evaluate(
        call,
        reported,
        events=sources.events_by_session(tenant, [reported.session_id])[reported.session_id],
        staff=staff,
        now=now,
    )
    call.save()
    call.log(Step.RECONCILE, now=now)
    return call


def preview(
    tenant: Tenant, reported: EndedEvent, *, events: Sequence[CallEvent], staff: StaffDirectory, now: datetime
) -> Call:
    """Return the row that `create_from_report` would write, without writing it."""
    call = new(tenant, reported, origin=Call.Origin.REPORT, now=now)
    _evaluate(call, reported, events=events, staff=staff, now=now)
    return call


def is_within_term_again(call: Call, *, now: datetime) -> bool:
    """Whether a call was skipped as too old, and no longer is because the upload window was extended."""
    return call.skip_reason == SkipReason.EXPIRED and not call.is_expired(now=now)


def evaluate_batch(batch: Sequence[Call], *, now: datetime) -> None:
    """Evaluate claimed calls of one tenant with all evidence so far."""
    started, tenant = time.monotonic(), batch[0].tenant
    events = sources.events_by_session(tenant, [call.session_id for call in batch])
    staff, choices = StaffDirectory.for_tenant(tenant), tenant.rules.choices()

    def evaluate(call: Call) -> None:
        resolution = sources.resolve_call(call, events[call.session_id], staff=staff)
        apply_resolution(call, resolution, owner=staff.owner_of(resolution, call.tenant.rules))
        _decide(call, resolution, choices, now=now)

    finish_batch(batch, evaluate, step=Step.EVALUATE, now=now, started=started, details=owner_rules(batch))


def owner_rules(batch: Sequence[Call]) -> dict[int, dict[str, Any]]:
    """Return the owner rules to log with each call: they may have changed when somebody reads the log."""
    rules = batch[0].tenant.rules
    return {call.pk: {"owner": rules.owner, "missed_owner": rules.missed_owner} for call in batch}


def apply_resolution(call: Call, resolution: CallResolution, *, owner: Employee | None) -> None:
    call.direction, call.contact, call.number = resolution.direction, resolution.contact, resolution.number
    call.source, call.command_external_id = resolution.source, resolution.external_id
    call.is_internal, call.is_lost = resolution.is_internal, resolution.is_lost
    call.talk_seconds, call.wait_seconds = resolution.talk_seconds, resolution.wait_seconds
    call.started_at = resolution.started_at or call.started_at
    call.ended_at = max(resolution.ended_at or call.ended_at, call.started_at)
    call.rung_employee_ids, call.result = list(resolution.rung_employee_ids), resolution.result or ""
    call.employee = owner


def apply_rules(call: Call, choices: RuleSet, *, now: datetime) -> bool:
    """Set the skip reason; return whether the call is skipped."""
    skip_reason = choices.upload_skip_reason(call.rule_input(now=now))
    call.skip_reason = skip_reason or ""
    return skip_reason is not None


def enqueue_next_step(call: Call, *, now: datetime) -> None:
    """Enqueue the next step if the call is due. Needs a transaction."""
    if call.next_attempt_at is not None and call.next_attempt_at <= now and call.claim_token is None:
        enqueue(NEXT[Call.State(call.state)], call.tenant_id)


@transaction.atomic
def finish_batch(
    batch: Sequence[Call],
    apply: Callable[[Call], None],
    *,
    step: Step,
    now: datetime,
    started: float,
    details: Mapping[int, dict[str, Any]] | None = None,
) -> None:
    """Apply the outcome to the rows that are still claimed, and enqueue next steps. `started` is time.monotonic()."""
    claimed = Call.objects.lock_claimed(batch)
    before = [snapshot(call) for call in claimed]
    for call in claimed:
        _apply_or_fail(call, apply, now=now)
    bulk_save_changes(claimed, before)
    log_many(claimed, step, now=now, milliseconds=round((time.monotonic() - started) * 1000), details=details)
    # One task per state is enough: it processes everything that is due.
    previous_states = {call.state for call in batch}
    for representative in {call.state: call for call in claimed if call.state not in previous_states}.values():
        enqueue_next_step(representative, now=now)


def _apply_or_fail(call: Call, apply: Callable[[Call], None], *, now: datetime) -> None:
    try:
        apply(call)
    except Exception as exc:
        logger.exception("tenant=%s call=%s step failed", call.tenant.slug, call.session_id)
        call.fail(FailureReason.INTERNAL_ERROR, type(exc).__name__, now=now)


def resume_due(tenant: Tenant | None = None, *, states: Sequence[State] = tuple(NEXT), now: datetime) -> int:
    """Enqueue a task for every state with due calls, of one tenant or of all: losing the queue loses nothing."""
    due = Call.objects.due(now=now).filter(state__in=states).order_by().values_list("tenant_id", "state").distinct()
    if tenant is not None:
        due = due.filter(tenant=tenant)
    with transaction.atomic():
        for tenant_id, state in due:
            enqueue(NEXT[Call.State(state)], tenant_id)
    return len(due)


def locked(tenant: Tenant, session_id: int) -> Call | None:
    """Return the locked row of a call, or None. Needs a transaction."""
    rows = Call.objects.select_for_update(of=("self",)).filter(tenant=tenant, session_id=session_id)
    call = rows.select_related("employee").first()
    if call is not None:
        call.tenant = tenant
    return call


def new(tenant: Tenant, event: CallEvent, *, origin: Call.Origin, now: datetime) -> Call:
    """Return an unsaved row for a call that has none."""
    ended_at = event.happened_at or now
    started_at = (event.started_at if isinstance(event, EndedEvent) else None) or ended_at
    return Call(
        tenant=tenant,
        session_id=event.session_id,
        origin=origin,
        started_at=started_at,
        ended_at=max(ended_at, started_at),
        retry_window_started_at=now,
        is_low_priority=started_at < now - LOW_PRIORITY_AFTER,
    )


def is_certainly_skipped(call: Call, *, now: datetime) -> bool:
    """Whether a rule skips the call before its participants are known; sets the skip reason."""
    if not (call.is_internal or call.is_expired(now=now)):
        return False
    apply_rules(call, call.tenant.rules.choices(), now=now)
    call.skip_reason = call.skip_reason if call.skip_reason in OWNER_INDEPENDENT_REASONS else ""
    return bool(call.skip_reason)


def owner_of(call: Call) -> Employee | None:
    """Return the owner by all evidence and the current staff."""
    staff = StaffDirectory.for_tenant(call.tenant)
    resolution = sources.resolve_call(
        call, sources.events_by_session(call.tenant, [call.session_id])[call.session_id], staff=staff
    )
    return staff.owner_of(resolution, call.tenant.rules)


def next_state_after_legs(call: Call, rules: TransferRules) -> State:
    """Return the state after the legs are known: a missed call may first need its manager from the CRM."""
    needs_crm = call.is_missed and rules.missed_owner == TransferRules.MissedOwner.RESPONSIBLE
    return Call.State.RESOLVING_OWNER if needs_crm else Call.State.READY


def _evaluate(
    call: Call, reported: EndedEvent, *, events: Sequence[CallEvent], staff: StaffDirectory, now: datetime
) -> None:
    """Evaluate a call found in UIS's report; the report row joins the evidence."""
    call.uis_snapshot = dump(UisSnapshot(row=reported))
    resolution = sources.resolve_call(call, events, staff=staff)
    apply_resolution(call, resolution, owner=staff.owner_of(resolution, call.tenant.rules))
    _decide(call, resolution, call.tenant.rules.choices(), now=now)


def _decide(call: Call, resolution: CallResolution, choices: RuleSet, *, now: datetime) -> None:
    """Choose the next step: a missed call needs nothing more from UIS."""
    if resolution.status == ResolutionStatus.MISSED:
        is_skipped = apply_rules(call, choices, now=now)
        return call.move_to(
            Call.State.SKIPPED if is_skipped else next_state_after_legs(call, call.tenant.rules), now=now
        )
    is_skipped = is_certainly_skipped(call, now=now)
    return call.move_to(Call.State.SKIPPED if is_skipped else Call.State.FETCHING_LEGS, now=now)
