"""The parts of an explanation, ready for display, in the language that was active."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A stable code, a message, and who is responsible, if anybody has to act."""

    code: str
    says: str
    who: str = ""
    look: str = ""  # style: "bad", "warn", "good", or "" for plain


@dataclass(frozen=True, kw_only=True)
class Line:
    at: datetime
    step: str  # a stable code
    says: str
    ms: int | None = None  # duration
    took: str = ""  # the system that took it
    parts: Sequence[tuple[str, str]] = ()  # details: name, value
    raw: str = ""  # as received, without secrets
    is_fault: bool = False


@dataclass(frozen=True, kw_only=True)
class CardTimes:
    """The times of one pop-up, or why there was none, and how long each system took."""

    person: str
    state: str
    rang_at: datetime
    received_at: datetime
    sent_at: datetime | None = None
    accepted_at: datetime | None = None
    uis_ms: int | None = None
    our_ms: int | None = None
    crm_ms: int | None = None
    slow: str = ""  # the slow system; empty if none

    @property
    def total_ms(self) -> int | None:
        """From the ring to the pop-up."""
        if self.uis_ms is None or self.our_ms is None or self.crm_ms is None:
            return None
        return self.uis_ms + self.our_ms + self.crm_ms


@dataclass(frozen=True, kw_only=True)
class Explanation:
    verdict: Verdict
    next: str
    next_at: datetime | None
    remarks: Sequence[Verdict] = ()
    lines: Sequence[Line] = ()
    cards: Sequence[CardTimes] = field(default_factory=tuple)
