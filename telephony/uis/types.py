"""Our words for what UIS says. Every datetime is aware, every number is digits, "" means not known."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Event(StrEnum):
    """The events of our notification templates."""

    INCOMING = "incoming"
    WAITING = "waiting"
    OUTGOING = "outgoing"
    TALK_STARTED = "talk_started"
    TALK_FINISHED = "talk_finished"
    CALL_END = "call_end"
    LOST_CALL = "lost_call"
    RECORDED = "recorded"


class Fault(StrEnum):
    """Why a notification cannot be read."""

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
class Heard:
    """What every readable notification tells."""

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
class WaitingCall(Heard):
    """An employee's phone begins to ring, or an employee begins to dial."""


@dataclass(frozen=True, kw_only=True)
class TalkStarted(Heard):
    """An employee and the outside party are connected."""


@dataclass(frozen=True, kw_only=True)
class Mentioned(Heard):
    """An event of a call that asks nothing of us: it reached a number, or a talk is over."""


@dataclass(frozen=True, kw_only=True)
class Recorded(Heard):
    """A recording of the call can be heard."""

    link: str = ""


@dataclass(frozen=True, kw_only=True)
class FinishedCall(Heard):
    """A call is over. `is_lost` is None where nothing tells."""

    is_lost: bool | None = None
    talk_seconds: int | None = None
    wait_seconds: int | None = None
    total_seconds: int | None = None
    started_at: datetime | None = None
    rung_ids: tuple[int, ...] = ()
    talker_id: int | None = None
    source: str = ""
    external_id: str = ""
    record_ids: tuple[str, ...] = ()
    whole_record: str = ""  # the address of one recording of all talks
    result: Result | None = None


@dataclass(frozen=True)
class Unreadable:
    """A notification nobody can use, and why."""

    fault: Fault
    detail: str = ""
    key: str = ""


Said = WaitingCall | TalkStarted | Mentioned | Recorded | FinishedCall | Unreadable


@dataclass(frozen=True, kw_only=True)
class CallLeg:
    """One leg of a call, as the Data API reports it."""

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

    @property
    def talk_began_at(self) -> datetime:
        """When this side was connected; its start where UIS names no moment."""
        return self.connected_at or self.started_at

    @property
    def talk_ended_at(self) -> datetime:
        return self.talk_began_at + timedelta(seconds=self.talk_seconds)

    @property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(seconds=self.total_seconds)


@dataclass(frozen=True)
class Account:
    """The account a key belongs to."""

    name: str
    time_zone: str


@dataclass(frozen=True, kw_only=True)
class Person:
    """An employee as UIS knows him."""

    uis_id: int
    full_name: str = ""
    email: str = ""
    extension: str = ""
    numbers: tuple[str, ...] = ()
    status: str = ""
    recorded_directions: str = "all"


@dataclass(frozen=True)
class Status:
    """A status an employee can have; `mnemonic` is "" for those a client made himself."""

    uis_id: int
    mnemonic: str
    name: str


@dataclass(frozen=True)
class OwnNumber:
    """A virtual number of the account."""

    number: str
    name: str
    is_active: bool


@dataclass(frozen=True)
class Limits:
    """Points left, where UIS said so; the reset times are seconds from the reply."""

    day_limit: int | None = None
    day_remaining: int | None = None
    day_reset: int | None = None
    minute_limit: int | None = None
    minute_remaining: int | None = None
    minute_reset: int | None = None


@dataclass(frozen=True, kw_only=True)
class CallOrder:
    """A call to start: first the employee's phone rings, then the contact's."""

    employee_id: int
    contact: str
    number: str
    external_id: str
    employee_number: str = field(default="")
