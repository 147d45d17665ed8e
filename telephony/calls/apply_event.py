"""Applies an event to its call: the ended event creates the row, later events may correct it."""

from collections.abc import Collection
from datetime import datetime

from telephony.calls import late_answers, pipeline, recording_selection, reopen, sources, steps
from telephony.calls.resolution import CallResolution, ResolutionStatus
from telephony.calls.sources import Sources, StaffDirectory
from telephony.models import Call, FailureReason, Step
from telephony.uis.types import CallEvent, EndedEvent
from tenants.models import Tenant

State = Call.State
# Without legs, a call in one of these was found to be missed, and passed the rules.
DECIDED_AS_MISSED = {State.RESOLVING_OWNER, State.READY}


def apply_event(tenant: Tenant, event: CallEvent, *, now: datetime) -> bool:
    """Apply an event that is not stored yet; return whether it changed anything. Needs a transaction.

    A call gets its row when it ends; earlier events are read from the stored notifications then.
    """
    call = Call.objects.locked(tenant, event.session_id)
    if (call is None and not isinstance(event, EndedEvent)) or (call is not None and call.is_erased):
        return False
    earlier = sources.events_by_session(tenant, [event.session_id])[event.session_id]
    if call is None:
        call = pipeline.new(tenant, event, origin=Call.Origin.WEBHOOK, now=now)
        _start_call(call, event, sources.resolve_call(call, [event, *earlier]), now=now)
        is_changed = True
    elif call.is_done:
        is_changed = reopen.reopen_on_event(call, event, earlier, now=now)
    else:
        is_changed = _update_open_call(call, event, earlier, now=now)
    steps.enqueue(call, now=now)
    return is_changed


def _start_call(call: Call, event: CallEvent, resolution: CallResolution, *, now: datetime) -> None:
    """Choose the first step of an ended call."""
    pipeline.apply_resolution(call, resolution, owner=None)
    call.is_low_priority = call.started_at < now - pipeline.LOW_PRIORITY_AFTER
    call.skip_reason = pipeline.certain_skip_reason(call, now=now)
    if call.skip_reason:
        call.move_to(State.SKIPPED, now=now)  # Spend no API points on a call that is skipped.
    else:
        pipeline.enter(call, resolution, now=now)
    call.save()
    call.log(Step.RECEIVED, event.event, now=now)


def _update_open_call(call: Call, event: CallEvent, earlier: Collection[CallEvent], *, now: datetime) -> bool:
    before = (call.state, call.recording_url)
    _resolve_open_call(call, event, earlier, now=now)
    is_changed = (call.state, call.recording_url) != before
    call.save()
    if is_changed:
        call.log(Step.RECEIVED, event.event, now=now)
    return is_changed


def _resolve_open_call(call: Call, event: CallEvent, earlier: Collection[CallEvent], *, now: datetime) -> None:
    """Re-evaluate an open call: an answer or a ringing phone may be reported until it is uploaded."""
    staff, sent = StaffDirectory.for_tenant(call.tenant), call.result
    # Only these are told by a comparison: others are resolved by all evidence in their next step anyway.
    has_decision = call.has_legs or call.claim_token is not None
    news = reopen.find_news(call, event, earlier, own_numbers=staff.own_numbers) if has_decision else None
    if call.has_legs and news and news.status == ResolutionStatus.NEEDS_LEGS:
        call.has_legs = False  # The legs are not the whole call.
        return _fetch_legs(call, sent=sent, now=now)
    is_decided, kind = call.state in DECIDED_AS_MISSED and call.claim_token is None, reopen.kind(call)
    resolution, owner = Sources({call.session_id: [event, *earlier]}, staff).resolve(call)
    pipeline.apply_resolution(call, resolution, owner=owner)
    if call.has_legs:
        return _apply_recording(call, resolution, staff, now=now)
    is_fetching = call.state == State.FETCHING_LEGS
    if not is_fetching and (
        resolution.is_lost is False
        or (resolution.status == ResolutionStatus.NEEDS_LEGS and call.state != State.DEBOUNCING)
    ):
        return _fetch_legs(call, sent=sent, now=now)
    if is_decided and reopen.kind(call) != kind:
        return call.move_to(State.DEBOUNCING, reason=FailureReason.DEBOUNCE, now=now)  # The rules decide again.
    if news and (is_fetching or call.state == State.DEBOUNCING):
        call.release(now)  # The worker that holds it decides without this event: its claim ends.
    if is_fetching and resolution.links and call.claim_token is None and call.failed_at is None:
        call.next_attempt_at = now
    return None


def _fetch_legs(call: Call, *, sent: str, now: datetime) -> None:
    """Fetch the legs of a call. A worker that is processing it as a missed call loses its claim and saves nothing.

    `sent` is the result that an upload in flight tells the CRM.
    """
    if call.state == State.READY and call.claim_token is not None:
        late_answers.log_unconfirmed_upload(call, sent, now=now)
    call.move_to(State.FETCHING_LEGS, now=now)


def _apply_recording(call: Call, resolution: CallResolution, staff: StaffDirectory, *, now: datetime) -> None:
    """Store the URL of a reported recording, without a request to UIS.

    A call that waited only for the recording continues. A call on its way to the CRM sends the URL with its next
    attempt.
    """
    call.recording_url = recording_selection.url(call, resolution)
    is_waiting = call.state == State.FETCHING_LEGS and call.claim_token is None and call.failed_at is None
    if is_waiting and not recording_selection.is_awaited(call, resolution, staff, now=now):
        call.move_to(pipeline.next_state_after_legs(call, call.tenant.rules), now=now)
