"""What a notification changes about a call: its end begins a row, and whatever comes later may still correct it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from telephony import calls, facts, recording
from telephony.facts import Staff
from telephony.models import Call, Cause, Step
from telephony.story import Fate, Story
from telephony.uis.types import FinishedCall, Heard
from tenants.models import Tenant

# Notifications come in any order: a talk told of so late still beats a miss, which the CRM could not take back.
SETTLES_FOR = timedelta(seconds=6)


def hear(tenant: Tenant, said: Heard, *, now: datetime) -> bool:
    """Take in what a notification tells of a call; say whether that was of use. Needs a transaction.

    A call has a row from its end on: what was told before is read from the inbox then.
    """
    call = calls.locked(tenant, said.session_id)
    if call is None and not isinstance(said, FinishedCall):
        return False
    is_new = call is None
    call = call or calls.new(tenant, said, origin=Call.Origin.WEBHOOK, now=now)
    heard = [said, *facts.heard_of(tenant, [said.session_id])[said.session_id]]
    if call.is_done:
        return _hear_late(call, facts.story_of(call, heard), now=now)
    was = (call.state, call.record_url)
    if is_new:
        _begin(call, facts.story_of(call, heard), now=now)
    else:
        _hear_more(call, heard, now=now)
    call.save()
    if is_new or (call.state, call.record_url) != was:
        call.note(Step.RECORD, said.event, now=now)
    calls.nudge(call, now=now)
    return is_new or (call.state, call.record_url) != was


def _begin(call: Call, story: Story, *, now: datetime) -> None:
    """Choose the first step of a call whose end was told: a talk is asked of UIS at once, anything else settles."""
    calls.take_over(call, story, owner=None)
    if calls.is_surely_kept_back(call, now=now):
        call.move_to(Call.State.SKIPPED, now=now)  # No point is spent on what nobody wants.
    elif story.is_lost is False:
        call.move_to(Call.State.COLLECTING, now=now)
    else:
        call.move_to(Call.State.SETTLING, now=now)
        call.wait_until(now + SETTLES_FOR, Cause.NOT_SETTLED)


def _hear_more(call: Call, heard: Sequence[Heard], *, now: datetime) -> None:
    """Weigh up a call on its way anew: until it is uploaded an answer may still turn up, or whose phone rang."""
    staff = Staff.of(call.tenant)
    story = facts.story_of(call, heard, staff=staff)
    calls.take_over(call, story, owner=staff.owner_of(story, call.tenant.rules))
    if call.is_collected:
        return _hear_of_recording(call, story, staff, now=now)
    is_asked = call.state == Call.State.COLLECTING
    if not is_asked and (story.is_lost is False or (story.fate == Fate.ASK and call.state != Call.State.SETTLING)):
        # Whoever works on it as a missed one finds that it is his no more, and writes nothing.
        call.move_to(Call.State.COLLECTING, now=now)
    if is_asked and story.links and call.claim_token is None and call.stopped_at is None:
        call.next_attempt_at = now


def _hear_of_recording(call: Call, story: Story, staff: Staff, *, now: datetime) -> None:
    """Take a recording that is told of: UIS need not be asked again.

    A call that waited for nothing else goes on; one that is on its way to the CRM takes the recording along, with the
    next try where one is being made just now.
    """
    call.record_url = recording.address(call, story)
    is_free = call.state == Call.State.COLLECTING and call.claim_token is None and call.stopped_at is None
    if is_free and not recording.is_awaited(call, story, staff, now=now):
        call.move_to(calls.after_collecting(call, call.tenant.rules), now=now)


def _hear_late(call: Call, story: Story, *, now: datetime) -> bool:
    """Note that the CRM shows a missed call which, as is told too late, somebody took."""
    is_wrong = call.state == Call.State.UPLOADED and call.is_missed and story.is_lost is False
    if is_wrong and not call.history.filter(step=Step.LATE).exists():
        call.note(Step.LATE, now=now)
    return is_wrong
