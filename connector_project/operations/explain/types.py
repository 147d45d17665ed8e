"""The parts of an explanation, ready for display, in the language that was active."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """A stable code, a message, and who is responsible, if anybody has to act."""

    reason: str
    message: str
    responsible: str = ""
    css_class: str = ""  # style: "bad", "warn", "good", or "" for plain


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    at: datetime
    step: str  # a stable code
    message: str
    ms: int | None = None  # duration
    took_by: str = ""  # the system that took it
    parts: Sequence[tuple[str, str]] = ()  # details: name, value
    raw: str = ""  # as received, without secrets
    is_fault: bool = False


@dataclass(frozen=True, kw_only=True)
class PopupTiming:
    """The times of one pop-up, or why there was none, and how long each system took."""

    person: str
    state: str
    ringing_at: datetime
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
    diagnosis: Diagnosis
    next: str
    next_at: datetime | None
    warnings: Sequence[Diagnosis] = ()
    timeline: Sequence[TimelineEntry] = ()
    popups: Sequence[PopupTiming] = field(default_factory=tuple)
