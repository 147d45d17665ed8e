"""Finds out whether a request has arrived whole, so that no thread waits for the rest of it.

Decides only when to pass a request on: gunicorn's parser reads the same bytes again, and rejects what is malformed.
"""

import re
from dataclasses import dataclass, field

from connector_project.core.body_limits import LARGEST_BODY, largest_body_of_target

LARGEST_HEAD = 32 * 1024
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*(?=\r\n)", re.IGNORECASE)
_ANY_LENGTH = re.compile(rb"\r\ncontent-length:", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS_CONTINUE = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})(?:[ \t]*;[^\r\n]*)?")
# A chunk of one byte takes six; more framing than this is not awaited.
LARGEST_CHUNKED_BODY = 2 * LARGEST_BODY
_LONGEST_CHUNK_LINE = 1024


@dataclass
class Frame:
    """What has arrived of one request, and how much is to be awaited."""

    received: bytearray = field(default_factory=bytearray)
    is_complete: bool = False
    is_head_too_large: bool = False
    expects_continue: bool = False
    has_head: bool = False
    body_bytes: int = 0  # the longest body that is awaited
    _body_begins_at: int = 0
    _position: int = 0  # everything before it is examined
    _is_chunked: bool = False

    def add(self, data: bytes) -> None:
        """Add what has arrived, and find out whether the request is complete."""
        self.received += data
        if not self.has_head and not self._find_head():
            return
        arrived = len(self.received) - self._body_begins_at
        if self._is_chunked:
            self.is_complete = self._is_last_chunk_here() or arrived > self.body_bytes
        else:
            self.is_complete = arrived >= self.body_bytes

    def _find_head(self) -> bool:
        end = self.received.find(_HEAD_END, max(0, self._position - len(_HEAD_END)))
        if end < 0:
            # The parser rejects a line that ends without a carriage return: the head would never end.
            self.is_complete = _BARE_LINE_FEED.search(self.received, self._position) is not None
            self._position = len(self.received)
            self.is_head_too_large = self._position > LARGEST_HEAD
            return False
        self.has_head, self._position = True, end + len(_HEAD_END)
        self._body_begins_at = self._position
        self.is_head_too_large = self._position > LARGEST_HEAD
        self._read_head(bytes(self.received[: self._position]))
        return True

    def _read_head(self, head: bytes) -> None:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        limit = largest_body_of_target(words[1].decode("latin-1")) if len(words) > 1 else 0
        self.expects_continue = bool(_EXPECTS_CONTINUE.search(head))
        if _CHUNKED.search(head):
            self._is_chunked, self.body_bytes = True, LARGEST_CHUNKED_BODY
            return
        lengths = _LENGTH.findall(head)
        if len(lengths) == len(_ANY_LENGTH.findall(head)) == 1:
            # A longer body is not awaited: the application rejects it by its stated length.
            length = int(lengths[0])
            self.body_bytes = length if length <= limit else 0

    def _is_last_chunk_here(self) -> bool:
        """Walk through the chunks that are here; malformed ones count as complete, for the parser to reject."""
        while True:
            line_end = self.received.find(b"\r\n", self._position)
            if line_end < 0:
                return len(self.received) - self._position > _LONGEST_CHUNK_LINE
            line = _CHUNK_SIZE.fullmatch(self.received, self._position, line_end)
            if line is None:
                return True
            size = int(line[1], 16)
            if not size:
                return self.received.startswith(b"\r\n", line_end + 2) or _HEAD_END in self.received[line_end + 2 :]
            next_chunk = line_end + 2 + size + 2
            if next_chunk > len(self.received):
                return False
            self._position = next_chunk
