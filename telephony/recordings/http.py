"""Serves a recording over HTTP, whole or by range, to the CRM's page and to the admin."""

from collections.abc import Iterator
from datetime import datetime

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from connector_project.core import http_range
from connector_project.core.http_server import close_connection, limit_slow_client
from telephony import access_log
from telephony.models import AccessLogEntry, Call
from telephony.recordings import stream
from telephony.recordings.unavailable import UnavailableReason
from telephony.uis.recordings import RecordingStream
from tenants.models import User

RETRY_SECONDS = {UnavailableReason.BUSY: 5}
RETRY_LATER_SECONDS = 60
ANY_PAGE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",
}
_ALWAYS = {"Cache-Control": "private, no-store", "Content-Disposition": "inline", "X-Robots-Tag": "noindex"}


class _Body:
    """The response body; the server closes it however sending ends."""

    def __init__(self, sound: RecordingStream, request: HttpRequest) -> None:
        self._sound, self._request = sound, request

    def __iter__(self) -> Iterator[bytes]:
        return self._sound

    def close(self) -> None:
        self._sound.close()
        if not self._sound.is_complete:
            close_connection(self._request)


def play(
    request: HttpRequest, call: Call, *, part: int | None = None, by: User | AnonymousUser | None, now: datetime
) -> HttpResponseBase:
    """Return the recording and write to the access log. HEAD returns no audio and is not logged.

    `part` is that of `stream.open_stream`. Raises RecordingUnavailable.
    """
    is_head = request.method == "HEAD"
    requested = None if is_head else http_range.parse_range(request.headers.get("Range", ""))
    sound = stream.open_stream(call, part=part, requested=requested, now=now)
    try:
        if is_head or sound.is_empty:
            sound.close()
            return HttpResponse(status=416 if sound.is_empty else 200, headers=_headers(sound))
        access_log.log_access(
            call, AccessLogEntry.Kind.RECORDING, by=by, address=request.META.get("REMOTE_ADDR", ""), now=now
        )
    except BaseException:
        sound.close()
        raise
    limit_slow_client(request)
    return StreamingHttpResponse(_Body(sound, request), status=206 if sound.part else 200, headers=_headers(sound))


def retry_after(reason: UnavailableReason) -> int | None:
    """Return the seconds for Retry-After; None if a retry is useless."""
    return None if reason.is_permanent else RETRY_SECONDS.get(reason, RETRY_LATER_SECONDS)


def status(reason: UnavailableReason) -> int:
    """Return the HTTP status of a response without a recording."""
    return 410 if reason.is_permanent else 503


def _headers(sound: RecordingStream) -> dict[str, str]:
    headers = {"Content-Type": sound.kind, **_ALWAYS}
    if sound.is_empty:
        content_range = {} if sound.size is None else {"Content-Range": f"bytes */{sound.size}"}
        return headers | content_range | {"Content-Length": "0"}
    if sound.part:
        headers["Content-Range"] = str(sound.part)
    if sound.length is None:
        return headers | {"Accept-Ranges": "none"}
    return headers | {"Accept-Ranges": "bytes", "Content-Length": str(sound.length)}
