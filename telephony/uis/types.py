"""Dataclasses of what UIS sends. Every datetime is aware, phone numbers are digits only, "" means unknown."""

import functools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Event(StrEnum):
    """The events of our webhook templates."""

    INCOMING = "incoming"
    WAITING = "waiting"
    OUTGOING = "outgoing"
    TALK_STARTED = "talk_started"
    TALK_FINISHED = "talk_finished"
    CALL_END = "call_end"
    LOST_CALL = "lost_call"
    RECORDED = "recorded"


class ParseError(StrEnum):
    """Why a notification cannot be parsed."""

    EMPTY = "EMPTY"
    NOT_JSON = "NOT_JSON"
    NO_EVENT = "NO_EVENT"
    UNKNOWN_EVENT = "UNKNOWN_EVENT"
    NO_SESSION = "NO_SESSION"


class Result(StrEnum):
    """How a call ended for the customer."""

    ANSWERED = "ANSWERED"
    NO_ANSWER = "NO_ANSWER"
    BUSY = "BUSY"
    FAILED = "FAILED"
    NOT_ALLOWED = "NOT_ALLOWED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, kw_only=True)
class CallEvent:
    """What every parsed notification contains."""

    event: str
    session_id: int
    key: str = ""
    happened_at: datetime | None = None
    contact: str = ""
    number: str = ""
    direction: str = ""
    employee_id: int | None = None
    is_internal: bool = False


@dataclass(frozen=True, kw_only=True)
class RingingEvent(CallEvent):
    """An employee's phone starts to ring, or an employee starts to dial."""


@dataclass(frozen=True, kw_only=True)
class AnsweredEvent(CallEvent):
    """An employee and the outside party are connected."""


@dataclass(frozen=True, kw_only=True)
class OtherEvent(CallEvent):
    """An event that needs no action: a call reached a number, or a talk ended."""


@dataclass(frozen=True, kw_only=True)
class RecordingEvent(CallEvent):
    """A recording of the call is available."""

    link: str = ""


@dataclass(frozen=True, kw_only=True)
class EndedEvent(CallEvent):
    """A call has ended. `is_lost` is None if unknown."""

    is_lost: bool | None = None
    talk_seconds: int | None = None
    wait_seconds: int | None = None
    total_seconds: int | None = None
    started_at: datetime | None = None
    rung_employee_ids: tuple[int, ...] = ()
    talker_id: int | None = None
    source: str = ""
    external_id: str = ""
    record_ids: tuple[str, ...] = ()
    whole_record: str = ""  # URL of one recording of all talks
    result: Result | None = None


@dataclass(frozen=True)
class Unreadable:
    """A notification that cannot be parsed, and why."""

    error: ParseError
    detail: str = ""
    key: str = ""


ParsedWebhook = RingingEvent | AnsweredEvent | OtherEvent | RecordingEvent | EndedEvent | Unreadable


@dataclass(frozen=True, kw_only=True)
class CallLeg:
    """One leg of a call from the Data API."""

    leg_id: int
    session_id: int
    started_at: datetime
    connected_at: datetime | None = None
    talk_seconds: int = 0
    total_seconds: int = 0
    finish_reason: str = ""
    is_operator: bool = False
    is_talked: bool = False
    is_coach: bool = False
    employee_id: int | None = None
    contact: str = ""
    number: str = ""
    calling: str = ""
    called: str = ""
    record_ids: tuple[str, ...] = ()

    @functools.cached_property
    def talk_started_at(self) -> datetime:
        """When the leg was connected; its start if UIS does not say."""
        return self.connected_at or self.started_at

    @functools.cached_property
    def talk_ended_at(self) -> datetime:
        return self.talk_started_at + timedelta(seconds=self.talk_seconds)

    @functools.cached_property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(seconds=self.total_seconds)


@dataclass(frozen=True)
class Account:
    """The account a key belongs to."""

    name: str
    time_zone: str


@dataclass(frozen=True, kw_only=True)
class UisEmployee:
    """An employee at UIS."""

    uis_id: int
    full_name: str = ""
    email: str = ""
    extension: str = ""
    numbers: tuple[str, ...] = ()
    status: str = ""
    recording_mode: str = "all"


@dataclass(frozen=True)
class Status:
    """A status an employee can have; `mnemonic` is "" for statuses created by the client."""

    uis_id: int
    mnemonic: str
    name: str


@dataclass(frozen=True)
class UisNumber:
    """A virtual number of the account."""

    number: str
    name: str
    is_active: bool


@dataclass(frozen=True)
class Limits:
    """API quota (points) from a reply; the reset times are seconds from the reply."""

    day_limit: int | None = None
    day_remaining: int | None = None
    day_reset: int | None = None
    minute_limit: int | None = None
    minute_remaining: int | None = None
    minute_reset: int | None = None


@dataclass(frozen=True, kw_only=True)
class ClickToCallRequest:
    """A call to start: first the employee's phone rings, then the contact's."""

    employee_id: int
    contact: str
    number: str
    external_id: str
    employee_number: str = field(default="")
