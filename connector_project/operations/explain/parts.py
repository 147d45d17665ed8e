"""The parts of an explanation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Literal

from django.utils.translation import gettext_lazy

from connector_project.core.check_results import Responsible, Text

SLOW_MS = 1000  # slower than this, the customer speaks before the pop-up is shown
SYSTEMS: Mapping[str, Text] = {"uis": "UIS", "connector": gettext_lazy("the connector"), "crm": gettext_lazy("the CRM")}


def elapsed_ms(begin: datetime | None, end: datetime | None) -> int | None:
    """Return the milliseconds between two moments; never negative, although the clocks of two systems may differ."""
    return max(0, round((end - begin).total_seconds() * 1000)) if begin and end else None


@dataclass(frozen=True)
class Diagnosis:
    """A stable code, a message, and who is responsible, if anybody has to act."""

    reason: str
    message: str
    responsible: Responsible | Literal[""] = ""


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    at: datetime
    step: str  # a stable code
    message: str
    ms: int | None = None  # duration
    took_by: Text = ""  # the system that took it
    parts: Sequence[tuple[str, str]] = ()  # details: name, value
    raw: str = ""  # as received, without secrets
    is_fault: bool = False


@dataclass(frozen=True, kw_only=True)
class SentRequest:
    """A request to a vendor that was about the call; its bodies are without secrets and without other calls."""

    at: datetime
    system: str
    method: str
    status: int | None  # None: no answer came, for `error`
    ms: int
    error: str
    request: str
    answer: str
    is_fault: bool


@dataclass(frozen=True, kw_only=True)
class PopupTiming:
    """The times of one pop-up, or why there was none, and how long each system took."""

    person: str
    state: str
    ringing_at: datetime
    received_at: datetime
    sent_at: datetime | None = None
    accepted_at: datetime | None = None
    rule_version: int | None = None  # None: there was no pop-up

    @cached_property
    def ms(self) -> Mapping[str, int | None]:
        """The time that each of `SYSTEMS` took; None if it is unknown."""
        moments = pairwise((self.ringing_at, self.received_at, self.sent_at, self.accepted_at))
        return {system: elapsed_ms(*times) for system, times in zip(SYSTEMS, moments, strict=True)}

    @property
    def total_ms(self) -> int | None:
        """From the ring to the pop-up."""
        return None if None in self.ms.values() else sum(ms or 0 for ms in self.ms.values())

    @property
    def slow(self) -> str:
        """The system that made the pop-up late; "" if none."""
        known = {system: ms for system, ms in self.ms.items() if ms is not None}
        is_slow = self.sent_at is not None and sum(known.values()) > SLOW_MS
        return str(SYSTEMS[max(known, key=known.__getitem__)]) if is_slow else ""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    diagnosis: Diagnosis
    next: str
    next_at: datetime | None
    warnings: Sequence[Diagnosis]
    timeline: Sequence[TimelineEntry]
    popups: Sequence[PopupTiming]
    requests: Sequence[SentRequest]
