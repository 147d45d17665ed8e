"""Parts of a file as HTTP names them. Pure. https://www.rfc-editor.org/rfc/rfc9110#section-14"""

import re
from dataclasses import dataclass

_ASKED = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_TOLD = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_OUTSIDE = re.compile(r"bytes \*/(\d{1,18})")


@dataclass(frozen=True)
class Slice:
    """A part of a file: its first and its last byte, both included, and the size of the whole."""

    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def narrowed(self, at_most: int) -> "Slice":
        """Return the beginning of this part."""
        return Slice(self.first, min(self.last, self.first + at_most - 1), self.size)

    def __str__(self) -> str:
        return f"bytes {self.first}-{self.last}/{self.size}"


@dataclass(frozen=True)
class Asked:
    """One part that is asked for; without a first byte it is so many of the last ones."""

    first: int | None
    last: int | None

    def header(self, at_most: int) -> str:
        """Return how to ask for it, or for as much of its beginning as is wanted at once."""
        if self.first is None:
            return f"bytes=-{self.last}"
        ends_at = self.first + at_most - 1
        return f"bytes={self.first}-{ends_at if self.last is None else min(self.last, ends_at)}"

    def of(self, size: int) -> Slice | None:
        """Return which part of a file of this size that is; None where it lies outside."""
        if self.first is None:
            found = Slice(max(size - (self.last or 0), 0), size - 1, size)
        else:
            found = Slice(self.first, size - 1 if self.last is None else min(self.last, size - 1), size)
        return found if found.length > 0 else None


def read(header: str) -> Asked | None:
    """Return the part a request asks for; None for the whole, and for what may be answered with the whole."""
    found = _ASKED.fullmatch(header.strip())
    if not found or found.group() == "bytes=-":
        return None
    first, last = (int(word) if word else None for word in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return Asked(first, last)


def told(header: str) -> Slice | None:
    """Return the part a reply says it holds."""
    found = _TOLD.fullmatch(header.strip())
    if not found:
        return None
    said = Slice(*(int(word) for word in found.groups()))
    return said if said.first <= said.last < said.size else None


def size_outside(header: str) -> int | None:
    """Return the size of the whole, as a reply names it that has nothing of what was asked."""
    found = _OUTSIDE.fullmatch(header.strip())
    return int(found.group(1)) if found else None
