"""Recordings at UIS: their URLs and hosts, downloads and byte ranges.

https://comagic.github.io/data_api/report/get_call_legs_report/ (call_records), `…/report/get_calls_report/`
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from urllib.parse import quote

from connector_project.core import http_client, http_range, origins
from connector_project.core.http_client import Download, RemoteRejected, RemoteUnavailable, UnexpectedReply
from connector_project.core.http_range import ContentRange, RequestedRange
from connector_project.core.origins import INVALID, Origin
from telephony.uis.errors import SYSTEM

# The domains of each brand. UIS and CoMagic are one firm: the documented link to a whole call is on media.comagic.ru.
DOMAINS: Mapping[str, tuple[str, ...]] = {
    "uis": ("uiscom.ru", "comagic.ru"),
    "comagic": ("comagic.ru", "uiscom.ru"),
    "callgear": ("callgear.com", "callgear.ae"),
    "novofon": ("novofon.ru",),
}
# Fields of reports whose values open a recording.
RECORD_FIELDS = frozenset(
    {
        *("call_records", "wav_call_records", "voice_mail_records"),
        *("record_file_links", "full_record_file_link", "file_link"),
    }
)
GONE = "recording_gone"
REFUSED = "recording_refused"
MP3 = "audio/mpeg"
# No user info, no escapes in the host: ours, the CRM's and a browser's parser must agree on whose address it is.
_URL = re.compile(r"https?://[A-Z0-9\-._:\[\]]+([/?#][A-Z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*)?", re.IGNORECASE)
_UNSPECIFIED_TYPES = {"", "application/octet-stream", "binary/octet-stream"}


def talk_url(base: str, session_id: int, record_id: str) -> str:
    """Return the URL of the recording of one talk; `base` is scheme and host."""
    return f"{base}/system/media/talk/{session_id}/{quote(record_id, safe='')}/"


def voice_mail_url(base: str, communication_id: int, record_id: str) -> str:
    return f"{base}/system/media/voice_mail/{communication_id}/{quote(record_id, safe='')}/"


def is_uis_url(url: str, *, brand: str, own: Collection[Origin]) -> bool:
    """Return whether a URL is on a host of this brand, or on one of `own`, which the operator configured."""
    origin = scheme, host, port = origins.origin(url)
    if origin == INVALID or not _URL.fullmatch(url):
        return False
    if origin in own:
        return True
    is_at_brand = any(host.endswith(f".{domain}") for domain in DOMAINS[brand])
    return is_at_brand and scheme == "https" and port == origins.PORTS["https"]


class RecordingStream:
    """A recording being downloaded: an iterator of bytes, read from UIS on demand.

    `part` is None for the whole file; `size` is None where UIS does not state it. `is_empty` is set where the
    requested range is outside the file. Close it in the thread that opened it.
    """

    def __init__(
        self,
        source: Download,
        *,
        kind: str = MP3,
        size: int | None,
        part: ContentRange | None = None,
        skipped: int = 0,
        is_empty: bool = False,
    ) -> None:
        self.kind, self.size, self.part, self.is_empty = kind, size, part, is_empty
        self.is_complete = False  # read to the end
        self.on_close: Callable[[], object] | None = None
        self._source = source
        self._first = b""
        self._skipped = skipped  # bytes before the part, where UIS ignores Range and sends the whole file
        self._left = part.length if part else size

    @property
    def length(self) -> int | None:
        """Number of bytes to be sent; None if unknown."""
        return self.part.length if self.part else self.size

    def begin(self) -> None:
        """Wait for the first bytes: once our own response has started, it can no longer report an error."""
        self._first = self._next()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part, self._first = self._first or self._next(), b""
        if not part:
            self.is_complete = True
            raise StopIteration
        return part

    def close(self) -> None:
        """Close the connection and call `on_close` once."""
        self._source.close()
        on_close, self.on_close = self.on_close, None
        if on_close:
            on_close()

    def _next(self) -> bytes:
        while self._left != 0 and (read := self._source.read()):
            passed = min(self._skipped, len(read))
            self._skipped -= passed
            if part := read[passed:][: self._left]:
                self._left = None if self._left is None else self._left - len(part)
                return part
        if self._left:
            raise RemoteUnavailable(SYSTEM, "UIS did not send the complete recording.")
        return b""


def fetch(
    url: str, *, requested_range: RequestedRange | None, at_most: int, is_theirs: Callable[[str], bool]
) -> RecordingStream:
    """Start to download a recording, or a part of it with no more than `at_most` bytes.

    `is_theirs` says which URLs may be requested. Raises the errors of core.http_client: RemoteRejected with
    code GONE where there is no such recording, REFUSED or UNTRUSTED_ADDRESS where access is denied.
    """
    headers = {"Range": requested_range.header(at_most)} if requested_range else {}
    source = http_client.download(SYSTEM, url, is_theirs=is_theirs, headers=headers)
    try:
        stream = _stream(source, requested_range, at_most=at_most)
        if not stream.is_empty:
            stream.begin()
    except http_client.RemoteError:
        source.close()
        raise
    return stream


def _stream(source: Download, requested_range: RequestedRange | None, *, at_most: int) -> RecordingStream:
    if requested_range and source.status == 416:
        size = http_range.size_outside(source.headers.get("Content-Range", ""))
        return RecordingStream(source, size=size, is_empty=True)
    kind = _kind(source)
    if source.status == 206 and requested_range:
        return _part(source, requested_range, kind=kind, at_most=at_most)
    length = source.headers.get("Content-Length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    if size == 0:
        raise RemoteRejected(SYSTEM, "The recording at UIS is empty.", code=GONE)
    if requested_range is None or size is None:
        return RecordingStream(source, kind=kind, size=size)
    part = requested_range.resolve(size)
    if part is None:
        return RecordingStream(source, size=size, is_empty=True)
    part = part.truncated(at_most)
    return RecordingStream(source, kind=kind, size=size, part=part, skipped=part.first)


def _part(source: Download, requested_range: RequestedRange, *, kind: str, at_most: int) -> RecordingStream:
    sent = http_range.parse_content_range(source.headers.get("Content-Range", ""))
    if sent is None or (requested_range.first is not None and sent.first != requested_range.first):
        raise UnexpectedReply(SYSTEM, "UIS sent a different part of the recording than requested.")
    return RecordingStream(source, kind=kind, size=sent.size, part=sent.truncated(at_most))


def _kind(source: Download) -> str:
    """Return the media type. Raises where the response is not a recording, or is in a form players do not support."""
    status = source.status
    if status in {404, 410}:
        raise RemoteRejected(SYSTEM, "UIS has no such recording.", code=GONE)
    if status == 429 or status >= 500:
        raise RemoteUnavailable(SYSTEM, f"UIS returned an error (status {status}).")
    kind = source.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_encoded = source.headers.get("Content-Encoding", "identity") != "identity"
    if status not in {200, 206} or is_encoded or not (kind.startswith("audio/") or kind in _UNSPECIFIED_TYPES):
        # For example a login page.
        raise RemoteRejected(SYSTEM, f"UIS refused to send the recording (status {status}).", code=REFUSED)
    return MP3 if kind in _UNSPECIFIED_TYPES else kind
