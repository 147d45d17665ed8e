"""Serves a recording over HTTP, whole or by range, to the CRM's page and to the admin."""

from collections.abc import Iterator
from datetime import datetime

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from connector_project import ranges
from connector_project.http import drop_slow_reader, hang_up
from telephony import listening, looks
from telephony.listening import Choose
from telephony.models import Call, Look
from telephony.silence import Silence
from telephony.uis.media import Sound

RETRY_SECONDS = {Silence.BUSY: 5}
RETRY_LATER_SECONDS = 60
ANY_PAGE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",
}
_ALWAYS = {"Cache-Control": "private, no-store", "Content-Disposition": "inline", "X-Robots-Tag": "noindex"}


class _Body:
    """The response body; the server closes it however sending ends."""

    def __init__(self, sound: Sound, request: HttpRequest) -> None:
        self._sound, self._request = sound, request

    def __iter__(self) -> Iterator[bytes]:
        return self._sound

    def close(self) -> None:
        self._sound.close()
        if not self._sound.is_heard:
            hang_up(self._request)


def play(
    request: HttpRequest, call: Call, choose: Choose, *, by: User | AnonymousUser | None, now: datetime
) -> HttpResponseBase:
    """Return the recording and write to the access log. HEAD returns no audio and is not logged.

    Raises RecordingUnavailable.
    """
    is_head = request.method == "HEAD"
    requested = None if is_head else ranges.read(request.headers.get("Range", ""))
    sound = listening.begin(call, choose, requested=requested, now=now)
    try:
        if is_head or sound.is_empty:
            sound.close()
            return HttpResponse(status=416 if sound.is_empty else 200, headers=_headers(sound))
        looks.note(call, Look.Kind.RECORDING, by=by, address=request.META.get("REMOTE_ADDR", ""), now=now)
    except BaseException:
        sound.close()
        raise
    drop_slow_reader(request)
    return StreamingHttpResponse(_Body(sound, request), status=206 if sound.part else 200, headers=_headers(sound))


def retry_after(reason: Silence) -> int | None:
    """Return the seconds for Retry-After; None if a retry is useless."""
    return None if reason.is_for_good else RETRY_SECONDS.get(reason, RETRY_LATER_SECONDS)


def status(reason: Silence) -> int:
    """Return the HTTP status of a response without a recording."""
    return 410 if reason.is_for_good else 503


def _headers(sound: Sound) -> dict[str, str]:
    headers = {"Content-Type": sound.kind, **_ALWAYS}
    if sound.is_empty:
        content_range = {} if sound.size is None else {"Content-Range": f"bytes */{sound.size}"}
        return headers | content_range | {"Content-Length": "0"}
    if sound.part:
        headers["Content-Range"] = str(sound.part)
    if sound.length is None:
        return headers | {"Accept-Ranges": "none"}
    return headers | {"Accept-Ranges": "bytes", "Content-Length": str(sound.length)}
