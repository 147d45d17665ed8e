"""Streams a recording from UIS to a listener: nothing is stored, and the number of streams is limited."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.conf import settings

from connector_project import remote
from connector_project.ranges import Asked as AskedRange
from telephony import actions, clients, facts, recording
from telephony.models import Call, State
from telephony.silence import Silence, Unheard
from telephony.story import Story
from telephony.summary import record_ids
from telephony.told import Asked, dump, load
from telephony.uis import media
from telephony.uis.media import Sound

# A ranged request gets at most this much, and the player requests the next part: a paused browser stops reading, and
# would hold one of our threads until playback resumes.
AT_MOST = 1024 * 1024
ASK_AGAIN_AFTER = timedelta(minutes=10)
_DONE_STATES = [State.UPLOADED, State.SKIPPED]  # no worker updates the UIS snapshot in these states

logger = logging.getLogger(__name__)
_places = threading.BoundedSemaphore(settings.RECORDING_STREAMS)

Choose = Callable[[Call, Story], Sequence[str]]


def best(call: Call, story: Story) -> Sequence[str]:
    """Choose what the CRM gets: the recording of the whole call, or of the owner's last talk."""
    return recording.addresses(call, story)


def part(number: int) -> Choose:
    """Choose one of several recordings by its number from 1; 0 is the recording of all talks."""

    def choose(call: Call, story: Story) -> Sequence[str]:
        if number == 0:
            return [recording.whole(story)] if recording.whole(story) else []
        return [one.address for one in recording.parts(call, story)[number - 1 : number]]

    return choose


def begin(call: Call, choose: Choose, *, requested: AskedRange | None, now: datetime) -> Sound:
    """Open the stream of a recording; the caller closes it. Raises RecordingUnavailable."""
    if reason := barred(call):
        raise Unheard(reason)
    if not _places.acquire(blocking=False):
        raise Unheard(Silence.BUSY)
    try:
        sound = _fetch(call, choose, requested=requested, now=now)
    except BaseException:
        _places.release()
        raise
    sound.on_close = _places.release
    return sound


def barred(call: Call) -> Silence | None:
    """Return why no recording of this tenant is played, or None. A paused tenant can still listen."""
    if call.tenant.left_at is not None:
        return Silence.LEFT
    return None if call.tenant.rules.send_recording else Silence.OFF


def ask(call: Call, *, now: datetime) -> bool:
    """Ask UIS again about a call; return whether it has a recording. Costs one or two API points.

    Only the answer for a finished call is saved: other calls are updated by workers. Raises RecordingUnavailable.
    """
    answer = _query_uis(call, now=now)
    call.told_by_uis = dump(answer)
    found = recording.address(call, _resolve(call))
    if call.state in _DONE_STATES and found:
        call.recording_gone_at = None
        known = {"told_by_uis": call.told_by_uis, "record_url": call.record_url or found, "recording_gone_at": None}
        Call.objects.filter(pk=call.pk, state__in=_DONE_STATES).update(**known)
    return bool(found)


def _fetch(call: Call, choose: Choose, *, requested: AskedRange | None, now: datetime) -> Sound:
    """Try the known URLs, then those that UIS has now: ids may have changed, and links expire."""
    if call.recording_gone_at is not None and now - call.recording_gone_at < ASK_AGAIN_AFTER:
        raise Unheard(Silence.GONE)
    known = choose(call, _resolve(call))
    try:
        return _first_of(call, known, requested)
    except Unheard as exc:
        if exc.reason not in {Silence.GONE, Silence.REFUSED}:
            raise
        reason = exc.reason
    ask(call, now=now)
    fresh = [address for address in choose(call, _resolve(call)) if address not in known]
    if fresh:
        return _first_of(call, fresh, requested)
    if reason == Silence.GONE and choose is best:
        Call.objects.filter(pk=call.pk).update(recording_gone_at=now)
    raise Unheard(reason)


def _first_of(call: Call, addresses: Sequence[str], requested: AskedRange | None) -> Sound:
    """Open the first recording that UIS serves."""
    reason, connection = Silence.GONE, call.tenant.uis
    for address in addresses:
        try:
            return media.fetch(
                address, asked=requested, at_most=AT_MOST, is_theirs=lambda url: clients.is_of_uis(connection, url)
            )
        except remote.RemoteError as exc:
            logger.info("tenant=%s call=%s recording: %s", call.tenant.slug, call.session_id, exc)
            if isinstance(exc, remote.RemoteUnavailable | remote.UnexpectedReply):
                raise Unheard(Silence.AWAY) from exc
            if exc.code != media.GONE:
                reason = Silence.REFUSED
    raise Unheard(reason)


def _query_uis(call: Call, *, now: datetime) -> Asked:
    connection = call.tenant.uis
    if connection.denied_at is not None:
        raise Unheard(Silence.DENIED)
    if connection.keeps_out(is_live=True, now=now):
        raise Unheard(Silence.AWAY)
    try:
        return _fetch_snapshot(call)
    except remote.RemoteError as exc:
        logger.warning("tenant=%s call=%s recording request failed: %s", call.tenant.slug, call.session_id, exc)
        if isinstance(exc, remote.AccessDenied) and actions.shuts_the_connection(exc):
            connection.deny(exc.code, str(exc), now=now)
        raise Unheard(Silence.DENIED if isinstance(exc, remote.AccessDenied) else Silence.AWAY) from exc


def _fetch_snapshot(call: Call) -> Asked:
    """Request the legs; also the report row if they have no recording, or several."""
    client, before = clients.uis_client(call.tenant.uis, is_live=True), load(call.told_by_uis)
    legs = client.call_legs([call.session_id], since=call.started_at, till=call.ended_at)
    rows = []
    if len(record_ids(legs)) != 1:
        rows = client.calls_by_session([call.session_id], since=call.started_at, till=call.ended_at)
    return Asked(row=rows[0] if rows else before.row, legs=tuple(legs) or before.legs)


def _resolve(call: Call) -> Story:
    return facts.story_of(call, facts.heard_of(call.tenant, [call.session_id])[call.session_id])
