"""Applies an event to its call: the ended event creates the row, later events may correct it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from telephony import calls, facts, recording
from telephony.facts import Staff
from telephony.models import Call, Cause, Step
from telephony.story import Fate, Story
from telephony.uis.types import FinishedCall, Heard
from tenants.models import Tenant

# Notifications come in any order: an answer this late still overrides a miss, which the CRM could not correct.
SETTLES_FOR = timedelta(seconds=6)


def hear(tenant: Tenant, event: Heard, *, now: datetime) -> bool:
    """Apply an event; return whether it changed anything. Needs a transaction.

    A call gets its row when it ends; earlier events are read from the stored notifications then.
    """
    call = calls.locked(tenant, event.session_id)
    if call is None and not isinstance(event, FinishedCall):
        return False
    is_new = call is None
    call = call or calls.new(tenant, event, origin=Call.Origin.WEBHOOK, now=now)
    events = [event, *facts.heard_of(tenant, [event.session_id])[event.session_id]]
    if call.is_done:
        return _hear_late(call, facts.story_of(call, events), now=now)
    before = (call.state, call.record_url)
    if is_new:
        _start_call(call, facts.story_of(call, events), now=now)
    else:
        _hear_more(call, events, now=now)
    call.save()
    if is_new or (call.state, call.record_url) != before:
        call.note(Step.RECORD, event.event, now=now)
    calls.nudge(call, now=now)
    return is_new or (call.state, call.record_url) != before


def _start_call(call: Call, story: Story, *, now: datetime) -> None:
    """Choose the first step of an ended call: fetch its legs if somebody talked, else debounce."""
    calls.take_over(call, story, owner=None)
    if calls.is_surely_kept_back(call, now=now):
        call.move_to(Call.State.SKIPPED, now=now)  # Spend no API points on a call that is skipped.
    elif story.is_lost is False:
        call.move_to(Call.State.COLLECTING, now=now)
    else:
        call.move_to(Call.State.SETTLING, now=now)
        call.wait_until(now + SETTLES_FOR, Cause.NOT_SETTLED)


def _hear_more(call: Call, events: Sequence[Heard], *, now: datetime) -> None:
    """Re-evaluate an open call: an answer or a ringing phone may be reported until it is uploaded."""
    staff = Staff.of(call.tenant)
    story = facts.story_of(call, events, staff=staff)
    calls.take_over(call, story, owner=staff.owner_of(story, call.tenant.rules))
    if call.is_collected:
        return _apply_recording(call, story, staff, now=now)
    is_fetching = call.state == Call.State.COLLECTING
    if not is_fetching and (story.is_lost is False or (story.fate == Fate.ASK and call.state != Call.State.SETTLING)):
        # A worker that has it as a missed call loses its claim and writes nothing.
        call.move_to(Call.State.COLLECTING, now=now)
    if is_fetching and story.links and call.claim_token is None and call.stopped_at is None:
        call.next_attempt_at = now


def _apply_recording(call: Call, story: Story, staff: Staff, *, now: datetime) -> None:
    """Store the URL of a reported recording, without a request to UIS.

    A call that waited only for the recording continues. A call on its way to the CRM sends the URL with its next
    attempt.
    """
    call.record_url = recording.address(call, story)
    is_waiting = call.state == Call.State.COLLECTING and call.claim_token is None and call.stopped_at is None
    if is_waiting and not recording.is_awaited(call, story, staff, now=now):
        call.move_to(calls.after_collecting(call, call.tenant.rules), now=now)


def _hear_late(call: Call, story: Story, *, now: datetime) -> bool:
    """Log that the CRM shows a call as missed whose answer was reported only after the upload."""
    is_wrong = call.state == Call.State.UPLOADED and call.is_missed and story.is_lost is False
    if is_wrong and not call.history.filter(step=Step.LATE).exists():
        call.note(Step.LATE, now=now)
    return is_wrong
