"""The recordings of the fake UIS: small mp3 files at the addresses of section 6 of the reference."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tests.fakes.uis_account import DOMAINS, Account
from tests.fakes.uis_faults import Answer, fail
from tests.fakes.uis_session import Session

MEDIA = "media"  # the method name that outages use for recordings
HOSTS = re.compile(rf"https://(app|media)\.({'|'.join(map(re.escape, DOMAINS.values()))})/.*")
# MPEG-2 layer III, 8 kbit/s, 16 kHz, mono: empty frames of 36 bytes and 36 ms, which play as silence.
_FRAME = bytes([0xFF, 0xF3, 0x18, 0xC0]) + bytes(9)
_FRAME_BYTES = 36
_FRAMES_PER_SECOND = 28
MAX_SECONDS = 30
_TALK = re.compile(r"/system/media/talk/(\d+)/([0-9a-f]{32})/?")
_MAIL = re.compile(r"/system/media/voice_mail/(\d+)/([0-9a-f]{32})/?")
_WHOLE = re.compile(r"/(\d+)/([0-9a-f]{32})/?")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PAGE = {"Content-Type": "text/html; charset=UTF-8"}


@dataclass(frozen=True)
class MediaRequest:
    """One received request for a recording."""

    method: str
    host: str
    path: str
    range: str
    status: int


@dataclass
class Media:
    """Serves the recordings of all customers. Tests read and change its fields directly."""

    accounts: Mapping[str, Account] = field(repr=False)
    clock: Callable[[], datetime] = field(repr=False)
    requests: list[MediaRequest] = field(default_factory=list, repr=False)
    deleted: set[str] = field(default_factory=set)  # records that were deleted
    takes_ranges: bool = True  # undocumented
    sends_length: bool = True
    content_type: str = "audio/mpeg"
    requires_login: bool = False
    redirects_to: str = ""  # redirect every request to this URL

    def serve(self, *, method: str, host: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request; an empty host is the simulator's."""
        answer = self._answer(method, host, path, headers)
        self.requests.append(MediaRequest(method, host, path, headers.get("Range", ""), answer.status))
        return answer

    def _answer(self, method: str, host: str, path: str, headers: Mapping[str, str]) -> Answer:
        if method != "GET":  # undocumented; public clients only use GET
            return Answer(405, dict(_PAGE), "<html><body>Method Not Allowed</body></html>")
        if self.redirects_to:
            return Answer(302, {"Location": self.redirects_to, **_PAGE}, "")
        if self.requires_login:
            return Answer(200, dict(_PAGE), "<html><body>Вход в личный кабинет</body></html>")
        body = self._find(host, path)
        if body is None:
            return Answer(404, dict(_PAGE), "<html><body>Not Found</body></html>")
        return self._range_answer(body, headers.get("Range", ""))

    def _find(self, host: str, path: str) -> bytes | None:
        side, _, domain = host.partition(".")
        if side in {"", "app"} and (mail := _MAIL.fullmatch(path)):
            return self._find_mail(int(mail[1]), mail[2], domain)
        talk, all_talks = (found if side in named else None for found, named in _by_form(path))
        form = talk or all_talks
        if form is None:
            return None
        record = form[2]
        session = self._session(int(form[1]), record, domain)
        if session is None or record in self.deleted:
            return None
        if not session.are_records_shown(self.clock()):
            return None
        return audio(record, talked(session, record)) if talk else whole(session)

    def _find_mail(self, communication_id: int, record: str, domain: str) -> bytes | None:
        sessions = (
            session
            for account in self.accounts.values()
            for session in account.sessions.values()
            if session.communication_id == communication_id and domain in {"", account.domain}
        )
        is_shown = any(record in session.shown_voice_mails(self.clock()) for session in sessions)
        return audio(record, MAX_SECONDS) if is_shown and record not in self.deleted else None

    def _session(self, number: int, record: str, domain: str) -> Session | None:
        """Find the session by its record: two accounts may have one with the same id."""
        for account in self.accounts.values():
            session = account.sessions.get(number)
            if session is not None and record in session.records and domain in {"", account.domain}:
                return session
        return None

    def _range_answer(self, body: bytes, range_header: str) -> Answer:
        headers = {"Content-Type": self.content_type}
        found = _RANGE.fullmatch(range_header)
        if not found or not self.takes_ranges:
            length = {"Content-Length": str(len(body))} if self.sends_length else {}
            return Answer(200, headers | length, body)
        first, last = found.groups()
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(int(last), len(body) - 1) if first and last else len(body) - 1
        if start > end:
            return Answer(416, headers | {"Content-Range": f"bytes */{len(body)}"}, b"")
        part = body[start : end + 1]
        range_headers = {"Content-Range": f"bytes {start}-{end}/{len(body)}", "Content-Length": str(len(part))}
        return Answer(206, headers | range_headers, part)


def audio(word: str, seconds: int) -> bytes:
    """Return a playable silent mp3; `word` is hashed into each frame, so that recordings differ."""
    rest = hashlib.sha256(word.encode()).digest()[: _FRAME_BYTES - len(_FRAME)]
    frame = _FRAME + bytes(byte & 0x7F for byte in rest)
    return frame * (_FRAMES_PER_SECOND * max(1, min(seconds, MAX_SECONDS)))


def whole(session: Session) -> bytes:
    """Return the single recording of all talks of a session."""
    return b"".join(audio(f"whole {record}", talked(session, record)) for record in session.records)


def talked(session: Session, record: str) -> int:
    """Return the length of a recording in seconds."""
    return next(leg.duration for leg in session.talk_legs if record in leg.records)


def fault(kind: str) -> Answer:
    """Return or raise what the client sees of an outage; internal_error is JSON-RPC only, so it becomes a 500."""
    return fail("500" if kind == "internal_error" else kind)


def _by_form(path: str) -> tuple[tuple[re.Match[str] | None, set[str]], tuple[re.Match[str] | None, set[str]]]:
    """Match a path against both forms of addresses; return each match with the hosts that serve the form."""
    return (_TALK.fullmatch(path), {"", "app"}), (_WHOLE.fullmatch(path), {"", "media"})
