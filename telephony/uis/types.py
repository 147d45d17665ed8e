"""What UIS sends. Every datetime is aware, phone numbers are digits only. "" and None mean that it was not told."""

import functools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypedDict

from pydantic import AfterValidator, AliasPath, BeforeValidator, Field, model_validator

from connector_project.core import phone_numbers
from telephony.uis.attribution import Values
from telephony.uis.fields import Digits, Email, Flag, Moment, Row, Seconds, Stripped, Text, Words


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
    is_hidden: bool = False  # UIS told that the contact hides their number
    number: str = ""
    direction: str = ""
    employee_id: int | None = None
    is_internal: bool | None = None  # what UIS said of it; None: nothing
    external_id: str = ""
    attribution: Values = field(default_factory=dict, hash=False)  # by the codes of `call_facts`

    @property
    def is_of_colleagues(self) -> bool:
        """Whether the call is internal: by UIS's word, or if it gave none, because the contact is an extension."""
        return len(self.contact) in phone_numbers.INTERNAL_LENGTHS if self.is_internal is None else self.is_internal


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
    """A call has ended. `is_lost` is UIS's word; `rung_employee_ids` is () if UIS told that no phone rang."""

    is_lost: bool | None = None
    talk_seconds: int | None = None
    wait_seconds: int | None = None
    total_seconds: int | None = None
    started_at: datetime | None = None
    rung_employee_ids: tuple[int, ...] | None = None
    talker_id: int | None = None
    finish_reason: str = ""  # of a notification: a documented one
    record_ids: tuple[str, ...] = ()
    whole_record: str = ""  # URL of one recording of all talks
    voice_mail_ids: tuple[str, ...] = ()
    communication_id: int | None = None
    result: Result | None = None

    @property
    def after_wait_seconds(self) -> int:
        """How long a call without a talk went on after the wait; 0 if one of the durations is not told."""
        if self.total_seconds is None or self.wait_seconds is None or self.talk_seconds != 0:
            return 0
        return self.total_seconds - self.wait_seconds


@dataclass(frozen=True)
class Unreadable:
    """A notification that cannot be parsed, and why."""

    error: ParseError
    detail: str = ""
    key: str = ""


ParsedWebhook = RingingEvent | AnsweredEvent | OtherEvent | RecordingEvent | EndedEvent | Unreadable


class CallLeg(Row):
    """One leg of a call from the Data API."""

    leg_id: int = Field(validation_alias="id")
    session_id: int = Field(validation_alias="call_session_id")
    started_at: Moment = Field(validation_alias="start_time")
    connected_at: Moment | None = Field(default=None, validation_alias="connect_time")
    talk_seconds: Seconds = Field(default=0, validation_alias="duration")
    total_seconds: Seconds = Field(default=0, validation_alias="total_duration")
    finish_reason: Text = ""
    is_operator: Flag = False
    is_talked: Flag = False
    is_coach: Flag = False
    employee_id: int | None = None
    contact: Digits = Field(default="", validation_alias="contact_phone_number")
    number: Digits = Field(default="", validation_alias="virtual_phone_number")
    calling: Digits = Field(default="", validation_alias="calling_phone_number")
    called: Digits = Field(default="", validation_alias="called_phone_number")
    record_ids: Words = Field(default=(), validation_alias="call_records")

    @model_validator(mode="before")
    @classmethod
    def _derive_talk(cls, raw: Any) -> Any:
        """Where UIS does not say whether there was a talk, its duration does."""
        is_told = not isinstance(raw, dict) or raw.get("is_talked") is not None
        return raw if is_told else raw | {"is_talked": bool(raw.get("duration"))}

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


class Account(Row):
    """The account a key belongs to. All brands are one platform, with one range of ids."""

    account_id: Text = Field(default="", validation_alias="app_id")
    name: Text = ""
    time_zone: Text = Field(default="", validation_alias="timezone")


def _lower(raw: object) -> str:
    return str(raw or "").lower()


def _active_numbers(raw: object) -> object:
    if not isinstance(raw, list) or not all(isinstance(phone, dict) for phone in raw):
        return raw or ()
    return [phone.get("phone_number") for phone in raw if phone.get("status") != "inactive"]


class UisEmployee(Row):
    """An employee at UIS. `status` is the status id; where UIS sends none, the deprecated name of a standard status."""

    uis_id: int = Field(validation_alias="id")
    full_name: Text = ""
    email: Email = ""
    extension: Stripped = Field(default="", validation_alias=AliasPath("extension", "extension_phone_number"))
    numbers: Annotated[
        tuple[Digits, ...],
        BeforeValidator(_active_numbers),
        AfterValidator(lambda numbers: tuple(filter(None, numbers))),
    ] = Field(default=(), validation_alias="phone_numbers")
    has_voice_mail: Flag = Field(default=False, validation_alias=AliasPath("extension", "extension_voice_mail_enabled"))
    status: Text = ""
    # all, in, out or off; "" is unknown
    recording_mode: Annotated[Stripped, BeforeValidator(_lower)] = Field(default="", validation_alias="call_recording")

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        full_name = f"{raw.get('last_name') or ''} {raw.get('first_name') or ''}".strip()
        status_id = raw.get("status_id")
        filled = {
            "full_name": raw.get("full_name") or full_name,
            "status": raw.get("status") if status_id is None else status_id,
        }
        return raw | filled


class Status(Row):
    """A status an employee can have; `mnemonic` is "" for statuses created by the client."""

    uis_id: int = Field(validation_alias="id")
    mnemonic: Text = ""
    name: Text = ""
    is_deleted: Flag = False


class Limits(TypedDict, total=False):
    """API quota (points) from a reply; the reset times are seconds from the reply."""

    day_limit: int
    day_remaining: int
    day_reset: int
    minute_limit: int
    minute_remaining: int
    minute_reset: int
