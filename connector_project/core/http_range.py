"""HTTP Range and Content-Range headers: https://www.rfc-editor.org/rfc/rfc9110#section-14."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})")


@dataclass(frozen=True)
class ContentRange:
    """The value of a Content-Range header: first and last byte, both inclusive, and the size of the file."""

    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def truncated(self, at_most: int) -> "ContentRange":
        """Return at most this many bytes from the start of the range."""
        return ContentRange(self.first, min(self.last, self.first + at_most - 1), self.size)

    def __str__(self) -> str:
        return f"bytes {self.first}-{self.last}/{self.size}"


@dataclass(frozen=True)
class RequestedRange:
    """A requested range; without `first`, the last `last` bytes."""

    first: int | None
    last: int | None

    def header(self, at_most: int) -> str:
        """Return the Range header for at most this many bytes from the start of the range."""
        if self.first is None:
            return f"bytes=-{self.last}"
        ends_at = self.first + at_most - 1
        return f"bytes={self.first}-{ends_at if self.last is None else min(self.last, ends_at)}"

    def resolve(self, size: int) -> ContentRange | None:
        """Return the range in a file of this size; None if it is outside the file."""
        if self.first is None:
            found = ContentRange(max(size - (self.last or 0), 0), size - 1, size)
        else:
            found = ContentRange(self.first, size - 1 if self.last is None else min(self.last, size - 1), size)
        return found if found.length > 0 else None


def parse_range(header: str) -> RequestedRange | None:
    """Parse a Range header; None for no single valid range, which may be answered with the whole file."""
    found = _RANGE.fullmatch(header.strip())
    if not found or found.group() == "bytes=-":
        return None
    first, last = (int(digits) if digits else None for digits in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return RequestedRange(first, last)


def parse_content_range(header: str) -> ContentRange | None:
    """Parse a Content-Range header; None if it is missing or invalid."""
    found = _CONTENT_RANGE.fullmatch(header.strip())
    if not found:
        return None
    part = ContentRange(*(int(digits) for digits in found.groups()))
    return part if part.first <= part.last < part.size else None


def size_outside(header: str) -> int | None:
    """Return the file size named by a 416 reply (`bytes */SIZE`)."""
    found = _UNSATISFIED.fullmatch(header.strip())
    return int(found.group(1)) if found else None
