"""Streams a recording from UIS to a listener: nothing is stored, and the number of streams is limited."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from connector_project.core import http_client, logging
from connector_project.core.http_range import RequestedRange
from connector_project.core.transactions import atomic
from telephony import client_factory
from telephony.calls import late_recordings, recording_selection, reopen, sources, steps
from telephony.calls.evidence import UisSnapshot, dump, load
from telephony.calls.legs import record_ids
from telephony.calls.resolution import CallResolution
from telephony.calls.sources import Sources
from telephony.models import Call, State
from telephony.models.choices import NEEDED_RIGHTS
from telephony.recordings.unavailable import RecordingUnavailable, UnavailableReason
from telephony.uis import recordings
from telephony.uis.recordings import RecordingStream

# A ranged request gets at most this much, and the player requests the next part: a paused browser stops reading, and
# would hold one of our threads until playback resumes.
MAX_PART_BYTES = 1024 * 1024
REFRESH_AFTER = timedelta(minutes=10)
REFRESH_AWAITED_AFTER = timedelta(minutes=1)
_DONE_STATES = [State.UPLOADED, State.SKIPPED]  # no worker updates the UIS snapshot in these states

logger = logging.logger(__name__)
_slots = threading.BoundedSemaphore(settings.RECORDING_STREAMS)


def open_stream(call: Call, *, part: int | None, requested: RequestedRange | None, now: datetime) -> RecordingStream:
    """Open the stream of a recording; the caller closes it. Raises RecordingUnavailable.

    `part` is the number of one of several recordings from 1; 0 is the recording of all talks. None means what the CRM
    gets: the recording of the whole call, or of the owner's last talk.
    """
    if reason := blocked_reason(call):
        raise RecordingUnavailable(reason)
    if not _slots.acquire(blocking=False):
        raise RecordingUnavailable(UnavailableReason.BUSY)
    try:
        sound = _fetch(call, part, requested=requested, now=now)
    except BaseException:
        _slots.release()
        raise
    sound.on_close = _slots.release
    return sound


def blocked_reason(call: Call) -> UnavailableReason | None:
    """Return why no recording of this tenant is played, or None. A paused tenant can still listen."""
    if call.tenant.offboarded_at is not None:
        return UnavailableReason.OFFBOARDED
    return None if call.tenant.rules.send_recording else UnavailableReason.OFF


def absence_reason(call: Call, *, now: datetime) -> UnavailableReason:
    """Return why UIS has no recording of an uploaded call: it is gone, not ready yet, or never came."""
    if call.recording_url:
        return UnavailableReason.MISSING
    is_early = call.awaits_recording and not call.is_erased and now < recording_selection.expected_until(call)
    return UnavailableReason.NOT_READY if is_early else UnavailableReason.NEVER_CAME


def refresh_from_uis(call: Call, *, now: datetime) -> bool:
    """Ask UIS again about a call; return whether it has a recording. Costs one or two API points.

    Only the answer for a finished call is saved: other calls are updated by workers. Raises RecordingUnavailable.
    """
    answer = _query_uis(call, now=now)
    call.uis_snapshot = dump(answer)
    found = recording_selection.url(call, _resolve(call))
    if call.state in _DONE_STATES and found:
        _save(call, answer, found, now=now)
    return bool(found)


@atomic
def _save(call: Call, answer: UisSnapshot, found: str, *, now: datetime) -> None:
    """Store what a finished call has now. UIS may tell of a talk that the call was not decided by."""
    stored = Call.objects.locked(call.tenant, call.session_id)
    if stored is None or not stored.is_done or stored.is_erased:
        return
    known = Sources.load(call.tenant, [call.session_id])
    reopen.reopen_on_report(stored, answer.row, known, legs=answer.legs, now=now)
    stored.uis_snapshot = call.uis_snapshot
    late_recordings.store(stored, known.resolve(stored)[0], known.staff, now=now)
    call.recording_url, call.recording_missing_since = found, None
    steps.enqueue(stored, now=now)


def _fetch(call: Call, part: int | None, *, requested: RequestedRange | None, now: datetime) -> RecordingStream:
    """Try the known URLs, then those that UIS has now: ids may have changed, and links expire."""
    why, checked_at = absence_reason(call, now=now), call.recording_missing_since
    pause = REFRESH_AWAITED_AFTER if why == UnavailableReason.NOT_READY else REFRESH_AFTER
    if checked_at is not None and now - checked_at < pause:
        raise RecordingUnavailable(why)
    known = _urls(call, part)
    try:
        return _first_of(call, known, requested)
    except RecordingUnavailable as exc:
        if exc.reason not in {UnavailableReason.MISSING, UnavailableReason.REFUSED}:
            raise
        reason = exc.reason
    if call.is_erased:
        raise RecordingUnavailable(why)  # What UIS tells of it may hold the number.
    refresh_from_uis(call, now=now)
    fresh = [address for address in _urls(call, part) if address not in known]
    if fresh:
        return _first_of(call, fresh, requested)
    if reason == UnavailableReason.MISSING and part is None:
        Call.objects.filter(pk=call.pk).update(recording_missing_since=now)
    raise RecordingUnavailable(why if reason == UnavailableReason.MISSING else reason)


def _urls(call: Call, part: int | None) -> list[str]:
    """Return the possible URLs of a recording, best first."""
    resolution = _resolve(call)
    if part is None:
        return recording_selection.urls(call, resolution)
    if part == 0:
        return list(filter(None, [recording_selection.whole_call_url(call, resolution)]))
    return [one.url for one in recording_selection.parts(call, resolution)[part - 1 : part]]


def _first_of(call: Call, addresses: Sequence[str], requested: RequestedRange | None) -> RecordingStream:
    """Open the first recording that UIS serves."""
    reason, connection = UnavailableReason.MISSING, call.tenant.uis
    for address in addresses:
        try:
            return recordings.fetch(
                address,
                requested_range=requested,
                at_most=MAX_PART_BYTES,
                is_theirs=lambda url: client_factory.is_of_uis(connection, url),
            )
        except http_client.RemoteError as exc:
            logger.info("recording unavailable", tenant=call.tenant.slug, call=call.session_id, error=str(exc))
            if isinstance(exc, http_client.RemoteUnavailable | http_client.UnexpectedReply):
                raise RecordingUnavailable(UnavailableReason.UNAVAILABLE) from exc
            if exc.code != recordings.GONE:
                reason = UnavailableReason.REFUSED
    raise RecordingUnavailable(reason)


def _query_uis(call: Call, *, now: datetime) -> UisSnapshot:
    connection = call.tenant.uis
    if not connection.denied_at and connection.is_circuit_open(is_live=True, now=now):
        raise RecordingUnavailable(UnavailableReason.UNAVAILABLE)
    if connection.denied_at or not connection.try_right(NEEDED_RIGHTS[State.FETCHING_LEGS], now=now):
        raise RecordingUnavailable(UnavailableReason.DENIED)
    try:
        return _fetch_snapshot(call, now=now)
    except http_client.RemoteError as exc:
        logger.warning("recording request failed", tenant=call.tenant.slug, call=call.session_id, error=str(exc))
        connection.record_denial(exc, now=now)
        is_denied = isinstance(exc, http_client.AccessDenied)
        raise RecordingUnavailable(UnavailableReason.DENIED if is_denied else UnavailableReason.UNAVAILABLE) from exc


def _fetch_snapshot(call: Call, *, now: datetime) -> UisSnapshot:
    """Request the legs; also the report row if they have no recording, or several."""
    client, before = client_factory.uis_client(call.tenant.uis, is_live=True), load(call.uis_snapshot)
    legs = client.call_legs([call.session_id], since=call.started_at, till=call.ended_at)
    rows = []
    if len(record_ids(legs)) != 1:
        try:
            rows = client.calls_by_session([call.session_id], since=call.started_at, till=call.ended_at)
        except http_client.AccessDenied as exc:
            if not record_ids(legs):
                raise
            call.tenant.uis.record_denial(exc, now=now)  # The recording of each talk needs no report.
    return UisSnapshot(row=rows[0] if rows else before.row, legs=tuple(legs) or before.legs)


def _resolve(call: Call) -> CallResolution:
    return sources.resolve_call(call, sources.events_by_session(call.tenant, [call.session_id])[call.session_id])
