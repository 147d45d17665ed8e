"""Recordings at UIS: where they are, whose hosts those are, and what its answer to a request for one means.

https://comagic.github.io/data_api/report/get_call_legs_report/ (call_records), `…/report/get_calls_report/`
"""

from collections.abc import Callable, Collection, Iterator

from connector_project import origins, ranges, remote
from connector_project.origins import NOWHERE, Origin
from connector_project.ranges import Asked, Slice
from connector_project.remote import Download, RemoteRejected, RemoteUnavailable, UnexpectedReply
from telephony.uis.refusals import SYSTEM

# One platform under four names: what belongs to one of them may lie at another's.
DOMAINS = ("uiscom.ru", "comagic.ru", "callgear.com", "novofon.ru")
GONE = "recording_gone"
REFUSED = "recording_refused"
MP3 = "audio/mpeg"
_NOT_SAID = {"", "application/octet-stream", "binary/octet-stream"}


def talk_url(base: str, session_id: int, record_id: str) -> str:
    """Return the address of the recording of one talk; `base` is the scheme and the host."""
    return f"{base}/system/media/talk/{session_id}/{record_id}/"


def is_at_uis(url: str, *, own: Collection[Origin]) -> bool:
    """Say whether an address is at one of UIS's hosts, or at one of those the operator named."""
    asked = scheme, host, port = origins.origin(url)
    if asked == NOWHERE:
        return False
    is_at_brand = any(host.endswith(f".{domain}") for domain in DOMAINS)
    return asked in own or (scheme == "https" and port == origins.PORTS["https"] and is_at_brand)


class Sound:
    """A recording on its way: what of it comes, and the bytes, read from UIS as they are asked for.

    `part` is None where the whole comes; `size` is None where UIS does not say how large that is. An empty one has
    nothing of what was asked. Close it in the thread that opened it.
    """

    def __init__(self, source: Download, *, kind: str, size: int | None, part: Slice | None = None) -> None:
        self.kind, self.size, self.part = kind, size, part
        self.is_empty = False
        self.is_heard = False  # to its end
        self.on_close: Callable[[], None] = _nothing
        self._source = source
        self._first = b""
        self._skipped = 0  # bytes before the part, where UIS sends the whole in any case
        self._left = part.length if part else size

    @property
    def length(self) -> int | None:
        """How many bytes come."""
        return self.part.length if self.part else self.size

    def skip(self, count: int) -> "Sound":
        """Pass over what comes before the part."""
        self._skipped = count
        return self

    def begin(self) -> None:
        """Wait for the first bytes: whom we have begun to answer can be told of no fault any more."""
        self._first = self._next()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part, self._first = self._first or self._next(), b""
        if not part:
            self.is_heard = True
            raise StopIteration
        return part

    def close(self) -> None:
        """Hang up, once."""
        self._source.close()
        on_close, self.on_close = self.on_close, _nothing
        on_close()

    def _next(self) -> bytes:
        while self._left != 0 and (read := self._source.read()):
            passed = min(self._skipped, len(read))
            self._skipped -= passed
            if part := read[passed:][: self._left]:
                self._left = None if self._left is None else self._left - len(part)
                return part
        if self._left:
            raise RemoteUnavailable(SYSTEM, "UIS did not send the whole recording.")
        return b""


def fetch(url: str, *, asked: Asked | None, at_most: int, is_theirs: Callable[[str], bool]) -> Sound:
    """Begin to fetch a recording, or a part of it with no more than `at_most` bytes.

    `is_theirs` says which addresses may be asked. Raises the errors of connector_project.remote: RemoteRejected with
    the code GONE where there is no such recording, with REFUSED or FOREIGN where it is not given out.
    """
    headers = {"Range": asked.header(at_most)} if asked else {}
    source = remote.download(SYSTEM, url, is_theirs=is_theirs, headers=headers)
    try:
        sound = _sound(source, asked, at_most=at_most)
        if not sound.is_empty:
            sound.begin()
    except remote.RemoteError:
        source.close()
        raise
    return sound


def _sound(source: Download, asked: Asked | None, *, at_most: int) -> Sound:
    if asked and source.status == 416:
        return _outside(source, ranges.size_outside(source.headers.get("Content-Range", "")))
    kind = _kind(source)
    if source.status == 206 and asked:
        return _part(source, asked, kind=kind, at_most=at_most)
    length = source.headers.get("Content-Length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    if size == 0:
        raise RemoteRejected(SYSTEM, "UIS has nothing in this recording.", code=GONE)
    if asked is None or size is None:
        return Sound(source, kind=kind, size=size)
    part = asked.of(size)
    if part is None:
        return _outside(source, size)
    part = part.narrowed(at_most)
    return Sound(source, kind=kind, size=size, part=part).skip(part.first)


def _part(source: Download, asked: Asked, *, kind: str, at_most: int) -> Sound:
    told = ranges.told(source.headers.get("Content-Range", ""))
    if told is None or (asked.first is not None and told.first != asked.first):
        raise UnexpectedReply(SYSTEM, "UIS sent another part of the recording than it was asked for.")
    return Sound(source, kind=kind, size=told.size, part=told.narrowed(at_most))


def _outside(source: Download, size: int | None) -> Sound:
    sound = Sound(source, kind=MP3, size=size)
    sound.is_empty = True
    return sound


def _kind(source: Download) -> str:
    """Return the type of what comes. Raises where it is no recording, or comes in a form no player takes."""
    status = source.status
    if status in {404, 410}:
        raise RemoteRejected(SYSTEM, "UIS has no such recording.", code=GONE)
    if status == 429 or status >= 500:
        raise RemoteUnavailable(SYSTEM, f"UIS has a fault (status {status}).")
    kind = source.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_packed = source.headers.get("Content-Encoding", "identity") != "identity"
    if status not in {200, 206} or is_packed or not (kind.startswith("audio/") or kind in _NOT_SAID):
        # Such as a page that asks for a login.
        raise RemoteRejected(SYSTEM, f"UIS does not give the recording out (status {status}).", code=REFUSED)
    return MP3 if kind in _NOT_SAID else kind


def _nothing() -> None:
    """Do nothing."""
