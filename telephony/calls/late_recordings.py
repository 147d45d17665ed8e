"""Recordings that come after the upload: kept with their call, for its link in the CRM, its page, API and export."""

from collections.abc import Collection, Sequence
from datetime import datetime

from telephony.calls import evidence, recording_selection, sources
from telephony.calls.resolution import CallResolution
from telephony.calls.sources import Sources, StaffDirectory
from telephony.models import Call, State, Step
from telephony.uis.types import CallEvent, CallLeg, EndedEvent, RecordingEvent

_FIELDS = ("uis_snapshot", "recording_url", "awaits_recording", "recording_missing_since")


def apply_event(call: Call, event: CallEvent, earlier: Collection[CallEvent], *, now: datetime) -> bool:
    """Keep the recording that a notification tells of; return whether it was new.

    Needs the locked call in a transaction, as the other functions here; saves it.
    """
    if not isinstance(event, RecordingEvent) or not _lacks_recording(call):
        return False
    staff = StaffDirectory.for_tenant(call.tenant)
    resolution = sources.resolve_call(call, [event, *earlier], own_numbers=staff.own_numbers)
    return store(call, resolution, staff, now=now)


def apply_report(
    call: Call, row: EndedEvent | None, known: Sources, *, legs: Sequence[CallLeg] = (), now: datetime
) -> bool:
    """Keep the recording that UIS's reports tell of; return whether it was new."""
    has_told = any(leg.record_ids for leg in legs) or (row is not None and tells_recording(row))
    if not has_told or not _lacks_recording(call):
        return False
    call.uis_snapshot = evidence.updated(call.uis_snapshot, row=row, legs=legs)
    return store(call, known.resolve(call)[0], known.staff, now=now)


def tells_recording(row: EndedEvent) -> bool:
    return bool(row.record_ids or row.whole_record or row.voice_mail_ids)


def store(call: Call, resolution: CallResolution, staff: StaffDirectory, *, now: datetime) -> bool:
    """Store what an uploaded call has now, and log it once."""
    url = recording_selection.url(call, resolution)
    is_new = bool(url) and not call.recording_url
    if url:
        call.recording_url, call.recording_missing_since = url, None
        call.awaits_recording = recording_selection.is_incomplete(call, resolution, staff)
        call.save(update_fields=_FIELDS)
    if is_new and call.state == State.UPLOADED:
        call.log(Step.LATE_RECORDING, now=now)
    return is_new


def _lacks_recording(call: Call) -> bool:
    is_lacking = call.awaits_recording or not call.recording_url
    return call.state == State.UPLOADED and is_lacking and not call.is_erased
