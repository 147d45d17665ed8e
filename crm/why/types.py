"""The parts of an explanation, ready to be shown or printed. Texts are in the language that was active."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One thing that is so: a stable code, a sentence, and who must act, where somebody must."""

    code: str
    says: str
    who: str = ""
    look: str = ""  # how it is shown: "bad", "warn", "good", or plain


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that happened."""

    at: datetime
    step: str  # a stable code
    says: str
    ms: int | None = None  # how long it took
    took: str = ""  # whose time that was
    parts: Sequence[tuple[str, str]] = ()  # what was said with it: name, value
    raw: str = ""  # as it came, without its secrets
    is_fault: bool = False


@dataclass(frozen=True, kw_only=True)
class CardTimes:
    """The way of one card, or why there was none: when, and how long each side took."""

    person: str
    state: str
    rang_at: datetime
    received_at: datetime
    sent_at: datetime | None = None
    accepted_at: datetime | None = None
    uis_ms: int | None = None
    our_ms: int | None = None
    crm_ms: int | None = None
    slow: str = ""  # who was slow; empty where nobody was

    @property
    def total_ms(self) -> int | None:
        """From the ring to the card."""
        if self.uis_ms is None or self.our_ms is None or self.crm_ms is None:
            return None
        return self.uis_ms + self.our_ms + self.crm_ms


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """All of it."""

    verdict: Verdict
    next: str
    next_at: datetime | None
    remarks: Sequence[Verdict] = ()
    lines: Sequence[Line] = ()
    cards: Sequence[CardTimes] = field(default_factory=tuple)
