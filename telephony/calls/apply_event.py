"""Applies an event to its call: the ended event creates the row, later events may correct it."""

from collections.abc import Collection, Sequence
from datetime import datetime

from telephony.calls import (
    late_answers,
    late_attribution,
    late_recordings,
    pipeline,
    recording_selection,
    reopen,
    sources,
    steps,
)
from telephony.calls.evidence import updated
from telephony.calls.resolution import CallResolution, ResolutionStatus
from telephony.calls.sources import Sources, StaffDirectory
from telephony.models import Call, FailureReason, Step, call_statements
from telephony.uis.types import CallEvent, EndedEvent
from tenants.models import Tenant

State = Call.State
# A call in one of these passed the rules: by its legs, or because it was found to be missed.
DECIDED = {State.RESOLVING_OWNER, State.READY}


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
        is_changed |= late_recordings.apply_event(call, event, earlier, now=now)
        is_changed |= late_attribution.apply_event(call, event)
    else:
        staff = StaffDirectory.for_tenant(tenant)
        news = _find_news(call, event, earlier, staff)
        is_changed = _update_open_call(call, event.event, [event, *earlier], news, staff, now=now)
    steps.enqueue(call, now=now)
    return is_changed


def apply_report(call: Call, row: EndedEvent, known: Sources, *, now: datetime) -> bool:
    """Resolve an open call anew with its row of UIS's report, which joins its evidence; return whether that changed it.

    Needs the locked call in a transaction; saves it. The caller enqueues the next steps of all its calls together, with
    `sweep.resume_due`.
    """
    events = known.events[call.session_id]
    news = _find_news(call, row, events, known.staff)
    call.uis_snapshot = updated(call.uis_snapshot, row=row, legs=())
    return _update_open_call(call, row.event, events, news, known.staff, now=now)


def _start_call(call: Call, event: CallEvent, resolution: CallResolution, *, now: datetime) -> None:
    """Choose the first step of an ended call."""
    pipeline.apply_resolution(call, resolution, owner=None)
    call.is_low_priority = call.started_at < now - pipeline.LOW_PRIORITY_AFTER
    call.skip_reason = pipeline.certain_skip_reason(call, now=now)
    if call.skip_reason:
        call.move_to(State.SKIPPED, now=now)  # Spend no API points on a call that is skipped.
    else:
        pipeline.enter(call, resolution, now=now)
    call_statements.inserts(Call).insert([call])
    call.log(Step.RECEIVED, event.event, now=now)


def _find_news(
    call: Call, event: CallEvent, earlier: Collection[CallEvent], staff: StaffDirectory
) -> CallResolution | None:
    """Return what is known with this event, if that is more than the call was decided by."""
    # Only these are told by a comparison: others are resolved by all evidence in their next step anyway.
    has_decision = call.has_legs or call.claim_token is not None
    return reopen.find_news(call, event, earlier, own_numbers=staff.own_numbers) if has_decision else None


def _update_open_call(
    call: Call,
    name: str,
    events: Sequence[CallEvent],
    news: CallResolution | None,
    staff: StaffDirectory,
    *,
    now: datetime,
) -> bool:
    """Resolve an open call by these events, and save it; `name` is what the log calls the last of them."""
    before = (call.state, call.recording_url)
    _resolve_open_call(call, events, news, staff, now=now)
    is_changed = (call.state, call.recording_url) != before
    call.save()
    if is_changed:
        call.log(Step.RECEIVED, name, now=now)
    return is_changed


def _resolve_open_call(
    call: Call, events: Sequence[CallEvent], news: CallResolution | None, staff: StaffDirectory, *, now: datetime
) -> None:
    """Re-evaluate an open call: an answer or a ringing phone may be reported until it is uploaded."""
    sent = call.result
    if call.has_legs and news and news.status == ResolutionStatus.NEEDS_LEGS:
        call.has_legs = False  # The legs are not the whole call.
        return _fetch_legs(call, sent=sent, now=now)
    is_decided, kind = call.state in DECIDED and call.claim_token is None, reopen.kind(call)
    resolution, owner = Sources({call.session_id: events}, staff).resolve(call)
    pipeline.apply_resolution(call, resolution, owner=owner)
    is_other = is_decided and reopen.kind(call) != kind
    if call.has_legs and not is_other:
        return _apply_recording(call, resolution, staff, now=now)
    is_fetching = call.state == State.FETCHING_LEGS
    if not is_fetching and (
        (resolution.is_lost is False and not call.has_legs)
        or (resolution.status == ResolutionStatus.NEEDS_LEGS and call.state != State.DEBOUNCING)
    ):
        return _fetch_legs(call, sent=sent, now=now)
    if is_other:
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
    call.awaits_recording = recording_selection.is_incomplete(call, resolution, staff)
    is_waiting = call.state == State.FETCHING_LEGS and call.claim_token is None and call.failed_at is None
    if is_waiting and not recording_selection.is_awaited(call, resolution, staff, now=now):
        call.move_to(pipeline.next_state_after_legs(call, call.tenant.rules), now=now)
