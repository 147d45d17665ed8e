"""Selects the recordings of a call, the one for the CRM, and whether to wait for more.

Only URLs on UIS's hosts leave this module, from any source: a notification, the report, or a row stored before.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from telephony import client_factory
from telephony.calls.evidence import load
from telephony.calls.legs import recorded_talks
from telephony.calls.resolution import CallResolution
from telephony.calls.sources import StaffDirectory
from telephony.models import Call, CallLogEntry, Step
from telephony.uis.types import CallLeg, RecordingEvent
from tenants.rules import RecordingKind

# Recordings come within minutes. After this time nobody is told to wait, though one that comes is still taken.
EXPECTED_FOR = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One recording of a call, usually of one talk."""

    url: str = field(repr=False)  # UIS URL, a secret
    employee_id: int | None = None
    talk: CallLeg | None = None


def url(call: Call, resolution: CallResolution) -> str:
    """Return the URL of the recording: of the whole call if UIS has one, else of the owner's last talk; "" if none."""
    return next(iter(urls(call, resolution)), "")


def urls(call: Call, resolution: CallResolution) -> list[str]:
    """Return the possible URLs of the recording, best first."""
    chosen = resolution.owner_record_ids or resolution.record_ids
    owner_id = call.employee.uis_id if call.employee else None
    links = _links(call, resolution)
    preferred = [event for event in links if event.employee_id == owner_id] or links
    own = [client_factory.recording_url(call.tenant.uis, call.session_id, record_id) for record_id in chosen[-1:]]
    found = [whole_call_url(call, resolution), *own, *(event.link for event in preferred[-1:])]
    found += voice_mail_urls(call)[-1:]
    return list(dict.fromkeys(filter(None, found)))


def parts(call: Call, resolution: CallResolution) -> list[Part]:
    """Return every recording of a call in order, before and after transfers."""
    if not resolution.record_ids:
        by_link = {event.link: event for event in _links(call, resolution)}
        told = [Part(url=event.link, employee_id=event.employee_id) for event in by_link.values()]
        return told + [Part(url=url) for url in voice_mail_urls(call)]
    talks = recorded_talks(load(call.uis_snapshot).legs)
    found = [
        (client_factory.recording_url(call.tenant.uis, call.session_id, one), talks.get(one))
        for one in resolution.record_ids
    ]
    return [Part(url=url, employee_id=talk.employee_id if talk else None, talk=talk) for url, talk in found]


def voice_mail_urls(call: Call) -> list[str]:
    """Return what the caller left, if nobody talked to them."""
    row = None if call.is_answered else load(call.uis_snapshot).row
    if row is None:
        return []
    number = row.communication_id or row.session_id
    return [client_factory.voice_mail_url(call.tenant.uis, number, one) for one in row.voice_mail_ids]


def whole_call_url(call: Call, resolution: CallResolution) -> str:
    """Return the URL of the recording of all talks; "" if the call has a single recording."""
    return _of_uis(call, resolution.whole_record) if len(resolution.record_ids) > 1 else ""


def stored_url(call: Call) -> str:
    """Return the URL that the call's row has, or "" if it is not one of UIS's."""
    return _of_uis(call, call.recording_url)


def is_incomplete(call: Call, resolution: CallResolution, staff: StaffDirectory) -> bool:
    """Whether a recording is expected that is not there yet."""
    has_talk = call.is_answered and (call.talk_seconds or resolution.talker_ids)  # not served by a menu
    if not has_talk or not call.tenant.rules.send_recording:
        return False
    return max(len(resolution.record_ids), len(_links(call, resolution))) < expected(call, resolution, staff)


def is_awaited(call: Call, resolution: CallResolution, staff: StaffDirectory, *, now: datetime) -> bool:
    """Whether the upload waits for a recording. With our own link it does not: the link plays it when it comes."""
    if call.tenant.rules.recording_link == RecordingKind.OURS or now >= deadline(call):
        return False
    return is_incomplete(call, resolution, staff)


def was_passed(call: Call, tries: Iterable[CallLogEntry]) -> bool:
    """Whether the CRM got a link with the call: later recordings and rule changes do not reach it."""
    uploads = [one for one in tries if one.step == Step.UPLOAD and not one.reason]
    return call.state == Call.State.UPLOADED and bool(uploads) and bool(uploads[-1].details.get("link"))


def deadline(call: Call) -> datetime:
    """Return when a call that is to get UIS's own link is uploaded with ours instead: an upload cannot be changed."""
    return call.ended_at + timedelta(minutes=call.tenant.rules.recording_wait_minutes)


def expected_until(call: Call) -> datetime:
    """Return until when our link and the page tell people to wait."""
    return call.ended_at + EXPECTED_FOR


def is_recorded(mode: str, direction: str) -> bool:
    """Whether UIS records calls of this direction by an employee's setting; so we assume where that is unknown."""
    return mode not in {"off", "in", "out"} - {direction}


def expected(call: Call, resolution: CallResolution, staff: StaffDirectory) -> int:
    """Return the expected number of recordings: one for each talk of an employee whose talks are recorded."""
    talkers = [staff.employees.get(uis_id) if uis_id else call.employee for uis_id in resolution.talker_ids]
    return sum(person is None or is_recorded(person.recording_mode, call.direction) for person in talkers or [None])


def _links(call: Call, resolution: CallResolution) -> list[RecordingEvent]:
    """Return the notifications with a link to a recording at UIS."""
    return [event for event in resolution.links if _of_uis(call, event.link)]


def _of_uis(call: Call, url: str) -> str:
    return url if url and client_factory.is_of_uis(call.tenant.uis, url) else ""
