"""Which recording the CRM gets, and whether it is worth waiting for more of them."""

from datetime import datetime, timedelta

from telephony import clients
from telephony.facts import Staff
from telephony.models import Call
from telephony.story import Story


def address(call: Call, story: Story) -> str:
    """Return the address of the recording: of the whole call where UIS has one, else of its owner's last talk."""
    if len(story.record_ids) > 1 and story.whole_record:
        return story.whole_record
    if chosen := story.owner_record_ids or story.record_ids:
        return clients.record_url(call.tenant.uis, call.session_id, chosen[-1])
    owner_id = call.employee.uis_id if call.employee else None
    his = [said for said in story.links if said.employee_id == owner_id]
    return (his or list(story.links))[-1].link if story.links else ""


def is_awaited(call: Call, story: Story, staff: Staff, *, now: datetime) -> bool:
    """Whether a part of the talk should be recorded, is not there yet, and its time is not over."""
    if not call.is_answered or not call.tenant.rules.send_recording or now >= deadline(call):
        return False
    return max(len(story.record_ids), len(story.links)) < _expected(call, story, staff)


def deadline(call: Call) -> datetime:
    """Return when the call goes without its recording: it is uploaded once, and cannot be corrected."""
    return call.ended_at + timedelta(minutes=call.tenant.rules.recording_wait_minutes)


def _expected(call: Call, story: Story, staff: Staff) -> int:
    """Return how many recordings there should be: one for each talk of somebody whose talks are recorded."""
    talkers = [staff.people.get(uis_id) if uis_id else call.employee for uis_id in story.talker_ids]
    told = [person.recorded_directions if person else "all" for person in talkers] or ["all"]
    return sum(recorded in {"all", call.direction} for recorded in told)
