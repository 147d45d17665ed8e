"""Applies an event to its call: the ended event creates the row, later events may correct it."""

from collections.abc import Sequence
from datetime import datetime

from telephony.calls import pipeline, recording_selection, sources, steps
from telephony.calls.resolution import CallResolution, ResolutionStatus
from telephony.calls.sources import Sources, StaffDirectory
from telephony.models import Call, Step
from telephony.uis.types import CallEvent, EndedEvent
from tenants.models import Tenant


def apply_event(tenant: Tenant, event: CallEvent, *, now: datetime) -> bool:
    """Apply an event; return whether it changed anything. Needs a transaction.

    A call gets its row when it ends; earlier events are read from the stored notifications then.
    """
    call = Call.objects.locked(tenant, event.session_id)
    if call is None and not isinstance(event, EndedEvent):
        return False
    is_new = call is None
    call = call or pipeline.new(tenant, event, origin=Call.Origin.WEBHOOK, now=now)
    events = [event, *sources.events_by_session(tenant, [event.session_id])[event.session_id]]
    if call.is_done:
        return _log_late_answer(call, sources.resolve_call(call, events), now=now)
    before = (call.state, call.recording_url)
    if is_new:
        _start_call(call, sources.resolve_call(call, events), now=now)
    else:
        _update_open_call(call, events, now=now)
    call.save()
    if is_new or (call.state, call.recording_url) != before:
        call.log(Step.RECEIVED, event.event, now=now)
    steps.enqueue(call, now=now)
    return is_new or (call.state, call.recording_url) != before


def _start_call(call: Call, resolution: CallResolution, *, now: datetime) -> None:
    """Choose the first step of an ended call."""
    pipeline.apply_resolution(call, resolution, owner=None)
    call.skip_reason = pipeline.certain_skip_reason(call, now=now)
    if call.skip_reason:
        return call.move_to(Call.State.SKIPPED, now=now)  # Spend no API points on a call that is skipped.
    return pipeline.enter(call, resolution, now=now)


def _update_open_call(call: Call, events: Sequence[CallEvent], *, now: datetime) -> None:
    """Re-evaluate an open call: an answer or a ringing phone may be reported until it is uploaded."""
    staff = StaffDirectory.for_tenant(call.tenant)
    resolution, owner = Sources({call.session_id: events}, staff).resolve(call)
    pipeline.apply_resolution(call, resolution, owner=owner)
    if call.has_legs:
        return _apply_recording(call, resolution, staff, now=now)
    is_fetching = call.state == Call.State.FETCHING_LEGS
    if not is_fetching and (
        resolution.is_lost is False
        or (resolution.status == ResolutionStatus.NEEDS_LEGS and call.state != Call.State.DEBOUNCING)
    ):
        # A worker that is processing it as a missed call loses its claim and saves nothing.
        call.move_to(Call.State.FETCHING_LEGS, now=now)
    if is_fetching and resolution.links and call.claim_token is None and call.failed_at is None:
        call.next_attempt_at = now


def _apply_recording(call: Call, resolution: CallResolution, staff: StaffDirectory, *, now: datetime) -> None:
    """Store the URL of a reported recording, without a request to UIS.

    A call that waited only for the recording continues. A call on its way to the CRM sends the URL with its next
    attempt.
    """
    call.recording_url = recording_selection.url(call, resolution)
    is_waiting = call.state == Call.State.FETCHING_LEGS and call.claim_token is None and call.failed_at is None
    if is_waiting and not recording_selection.is_awaited(call, resolution, staff, now=now):
        call.move_to(pipeline.next_state_after_legs(call, call.tenant.rules), now=now)


def _log_late_answer(call: Call, resolution: CallResolution, *, now: datetime) -> bool:
    """Log that the CRM shows a call as missed whose answer was reported only after the upload."""
    is_wrong = call.state == Call.State.UPLOADED and call.is_missed and resolution.is_lost is False
    if is_wrong and not call.history.filter(step=Step.LATE_ANSWER).exists():
        call.log(Step.LATE_ANSWER, now=now)
    return is_wrong
