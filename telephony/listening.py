"""A recording on its way from UIS to who listens: nothing of it is kept, and only so many are played at once."""

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

# Of a part that is asked for as much as this is given at once, and the player asks for the next: a browser that is
# paused reads no further, and would hold a thread of ours until somebody goes on listening.
AT_MOST = 1024 * 1024
ASK_AGAIN_AFTER = timedelta(minutes=10)
_AT_REST = [State.UPLOADED, State.SKIPPED]  # nobody else writes what UIS tells of such a call

logger = logging.getLogger(__name__)
_places = threading.BoundedSemaphore(settings.RECORDING_STREAMS)

Choose = Callable[[Call, Story], Sequence[str]]


def best(call: Call, story: Story) -> Sequence[str]:
    """Choose what the CRM plays: the whole call, or its owner's last talk."""
    return recording.addresses(call, story)


def part(number: int) -> Choose:
    """Choose one recording of several by its turn, from 1 on; 0 is the one of all talks."""

    def choose(call: Call, story: Story) -> Sequence[str]:
        if number == 0:
            return [recording.whole(story)] if recording.whole(story) else []
        return [one.address for one in recording.parts(call, story)[number - 1 : number]]

    return choose


def begin(call: Call, choose: Choose, *, asked: AskedRange | None, now: datetime) -> Sound:
    """Begin to fetch a recording, by an address that UIS knows today. Close what is returned. Raises Unheard."""
    if reason := barred(call):
        raise Unheard(reason)
    if not _places.acquire(blocking=False):
        raise Unheard(Silence.BUSY)
    try:
        sound = _fetch(call, choose, asked=asked, now=now)
    except BaseException:
        _places.release()
        raise
    sound.on_close = _places.release
    return sound


def barred(call: Call) -> Silence | None:
    """Return why no recording of this client is given out at all. A client who is only paused goes on listening."""
    if call.tenant.left_at is not None:
        return Silence.LEFT
    return None if call.tenant.rules.send_recording else Silence.OFF


def ask(call: Call, *, now: datetime) -> bool:
    """Ask UIS anew what it has of a call; say whether a recording is among it. Raises Unheard where it does not tell.

    Costs one or two points. What it says is kept for a call that is done; of others a worker keeps it.
    """
    answer = _ask(call, now=now)
    call.told_by_uis = dump(answer)
    found = recording.address(call, _story(call))
    if call.state in _AT_REST and found:
        call.recording_gone_at = None
        known = {"told_by_uis": call.told_by_uis, "record_url": call.record_url or found, "recording_gone_at": None}
        Call.objects.filter(pk=call.pk, state__in=_AT_REST).update(**known)
    return bool(found)


def _fetch(call: Call, choose: Choose, *, asked: AskedRange | None, now: datetime) -> Sound:
    """Try the addresses that are known, then those that UIS knows now: ids may have changed, and links run out."""
    if call.recording_gone_at is not None and now - call.recording_gone_at < ASK_AGAIN_AFTER:
        raise Unheard(Silence.GONE)
    known = choose(call, _story(call))
    try:
        return _first_of(call, known, asked)
    except Unheard as exc:
        if exc.reason not in {Silence.GONE, Silence.REFUSED}:
            raise
        reason = exc.reason
    ask(call, now=now)
    fresh = [address for address in choose(call, _story(call)) if address not in known]
    if fresh:
        return _first_of(call, fresh, asked)
    if reason == Silence.GONE and choose is best:
        Call.objects.filter(pk=call.pk).update(recording_gone_at=now)
    raise Unheard(reason)


def _first_of(call: Call, addresses: Sequence[str], asked: AskedRange | None) -> Sound:
    """Return the first recording that UIS gives out."""
    reason, connection = Silence.GONE, call.tenant.uis
    for address in addresses:
        try:
            return media.fetch(
                address, asked=asked, at_most=AT_MOST, is_theirs=lambda url: clients.is_of_uis(connection, url)
            )
        except remote.RemoteError as exc:
            logger.info("tenant=%s call=%s recording: %s", call.tenant.slug, call.session_id, exc)
            if isinstance(exc, remote.RemoteUnavailable | remote.UnexpectedReply):
                raise Unheard(Silence.AWAY) from exc
            if exc.code != media.GONE:
                reason = Silence.REFUSED
    raise Unheard(reason)


def _ask(call: Call, *, now: datetime) -> Asked:
    connection = call.tenant.uis
    if connection.denied_at is not None:
        raise Unheard(Silence.DENIED)
    if connection.keeps_out(is_live=True, now=now):
        raise Unheard(Silence.AWAY)
    try:
        return _answer(call)
    except remote.RemoteError as exc:
        logger.warning("tenant=%s call=%s recording asked of UIS: %s", call.tenant.slug, call.session_id, exc)
        if isinstance(exc, remote.AccessDenied) and actions.shuts_the_connection(exc):
            connection.deny(exc.code, str(exc), now=now)
        raise Unheard(Silence.DENIED if isinstance(exc, remote.AccessDenied) else Silence.AWAY) from exc


def _answer(call: Call) -> Asked:
    """Ask for the legs; for the call's own row where they tell of no recording, or of several."""
    client, before = clients.uis_client(call.tenant.uis, is_live=True), load(call.told_by_uis)
    legs = client.call_legs([call.session_id], since=call.started_at, till=call.ended_at)
    rows = []
    if len(record_ids(legs)) != 1:
        rows = client.calls_by_session([call.session_id], since=call.started_at, till=call.ended_at)
    return Asked(row=rows[0] if rows else before.row, legs=tuple(legs) or before.legs)


def _story(call: Call) -> Story:
    return facts.story_of(call, facts.heard_of(call.tenant, [call.session_id])[call.session_id])
