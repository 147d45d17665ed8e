"""Which recordings a call has, which of them the CRM gets, and whether it is worth waiting for more."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from telephony import clients
from telephony.facts import Staff
from telephony.models import Attempt, Call, Step
from telephony.story import Story
from telephony.summary import recorded_talks
from telephony.told import load
from telephony.uis.types import CallLeg


@dataclass(frozen=True, kw_only=True)
class Part:
    """One recording of a call: of one talk, as a rule."""

    address: str = field(repr=False)  # at UIS, a secret
    employee_id: int | None = None
    talk: CallLeg | None = None


def address(call: Call, story: Story) -> str:
    """Return the address of the recording: of the whole call where UIS has one, else of its owner's last talk."""
    return next(iter(addresses(call, story)), "")


def addresses(call: Call, story: Story) -> list[str]:
    """Return where the recording may be had, the best address first."""
    chosen = story.owner_record_ids or story.record_ids
    owner_id = call.employee.uis_id if call.employee else None
    his = [said for said in story.links if said.employee_id == owner_id] or list(story.links)
    found = [whole(story)] if whole(story) else []
    found += [clients.record_url(call.tenant.uis, call.session_id, record_id) for record_id in chosen[-1:]]
    return list(dict.fromkeys([*found, *(said.link for said in his[-1:])]))


def parts(call: Call, story: Story) -> list[Part]:
    """Return every recording of a call, in turn: those before a transfer, and those after it."""
    if not story.record_ids:
        told = {said.link: said for said in story.links}
        return [Part(address=said.link, employee_id=said.employee_id) for said in told.values()]
    talks = recorded_talks(load(call.told_by_uis).legs)
    found = [(clients.record_url(call.tenant.uis, call.session_id, one), talks.get(one)) for one in story.record_ids]
    return [Part(address=url, employee_id=talk.employee_id if talk else None, talk=talk) for url, talk in found]


def whole(story: Story) -> str:
    """Return the address of one recording of all talks, where there are several; "" where one is all."""
    return story.whole_record if len(story.record_ids) > 1 else ""


def is_awaited(call: Call, story: Story, staff: Staff, *, now: datetime) -> bool:
    """Whether a part of the talk should be recorded, is not there yet, and its time is not over."""
    if not call.is_answered or not call.tenant.rules.send_recording or now >= deadline(call):
        return False
    return max(len(story.record_ids), len(story.links)) < expected(call, story, staff)


def was_passed(call: Call, tries: Iterable[Attempt]) -> bool:
    """Whether the CRM got a link with the call: what is told of a recording later, or of a rule, does not reach it."""
    uploads = [one for one in tries if one.step == Step.UPLOAD and not one.cause]
    return call.state == Call.State.UPLOADED and bool(uploads) and bool(uploads[-1].about.get("link"))


def deadline(call: Call) -> datetime:
    """Return when the call goes without its recording: it is uploaded once, and cannot be corrected."""
    return call.ended_at + timedelta(minutes=call.tenant.rules.recording_wait_minutes)


def expected(call: Call, story: Story, staff: Staff) -> int:
    """Return how many recordings there should be: one for each talk of somebody whose talks are recorded."""
    talkers = [staff.people.get(uis_id) if uis_id else call.employee for uis_id in story.talker_ids]
    told = [person.recorded_directions if person else "all" for person in talkers] or ["all"]
    return sum(recorded in {"all", call.direction} for recorded in told)
