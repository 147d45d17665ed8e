"""Parses UIS webhooks into event dataclasses. Never raises: bodies are templates typed by people.

The vendor documents no list of events, no signature and no redelivery.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ValidationInfo

from connector_project.core import phone_numbers
from telephony.uis import finish_reasons
from telephony.uis.fields import Locale
from telephony.uis.payload import PayloadError, fields
from telephony.uis.types import (
    AnsweredEvent,
    EndedEvent,
    Event,
    OtherEvent,
    ParsedWebhook,
    ParseError,
    RecordingEvent,
    RingingEvent,
    Unreadable,
)

_TIME_FORMATS = ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%SZ")
_LARGEST_ID = 2**63 - 1
_LARGEST_SECONDS = 2**31 - 1
# Column lengths of our tables, and the years that a real timestamp can have.
_LONGEST_TEXT = 100
_LONGEST_LINK = 2000
_LONGEST_NUMBER = 32
_MOST_IDS = 500
_YEARS = range(2000, 2100)


def _whole(raw: object) -> int | None:
    """Parse an integer that may be sent bare or quoted; None if it is not one."""
    text = re.sub(r"\.0+$", "", str(raw).strip())
    return int(text) if re.fullmatch(r"\d{1,19}", text, re.ASCII) and int(text) <= _LARGEST_ID else None


def _yes_or_no(raw: object) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(str(raw).strip().lower())


def _seconds(raw: object) -> int | None:
    number = _whole(raw)
    return number if number is not None and number <= _LARGEST_SECONDS else None


def _link(raw: object) -> str:
    """Return a text without what PostgreSQL rejects: NUL, and lone surrogates from JSON escapes."""
    text = str(raw) if isinstance(raw, str | int) and not isinstance(raw, bool) else ""
    return text.replace("\0", "").encode(errors="replace").decode()[:_LONGEST_LINK]


def _text(raw: object) -> str:
    return _link(raw)[:_LONGEST_TEXT]


def _ids(raw: object) -> tuple[int, ...]:
    """Parse a list of ids that may be sent as an array or as text."""
    items = raw if isinstance(raw, list) else str(raw or "").strip("[] ").split(",")
    return tuple(number for item in items[:_MOST_IDS] if (number := _whole(item)) is not None)


def _local_time(raw: object, info: ValidationInfo[Locale]) -> datetime | None:
    """Parse a local time of the account."""
    text = str(raw).replace("T", " ")
    for form in _TIME_FORMATS:
        try:
            local = datetime.strptime(text, form).replace(tzinfo=info.context.zone)
        except ValueError:
            continue
        return local.astimezone(UTC) if local.year in _YEARS else None
    return None


def _digits(raw: object, info: ValidationInfo[Locale]) -> str:
    number = phone_numbers.normalise(_text(raw), is_russian=info.context.is_russian)
    return number if len(number) <= _LONGEST_NUMBER else ""


def _moment(raw: object) -> datetime | None:
    """Parse a Unix time."""
    number = _seconds(raw)
    return datetime.fromtimestamp(number, tz=UTC) if number else None


Whole = Annotated[int | None, BeforeValidator(_whole)]
YesOrNo = Annotated[bool | None, BeforeValidator(_yes_or_no)]
Seconds = Annotated[int | None, BeforeValidator(_seconds)]
Text = Annotated[str, BeforeValidator(_text)]
Link = Annotated[str, BeforeValidator(_link)]
Ids = Annotated[tuple[int, ...], BeforeValidator(_ids)]
LocalTime = Annotated[datetime | None, BeforeValidator(_local_time)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Digits = Annotated[str, BeforeValidator(_digits)]


def parse(query: str, body: str, *, event: str, zone: ZoneInfo, is_russian: bool) -> ParsedWebhook:
    """Parse a notification; `event` is the one in the webhook URL, or "".

    `zone` is the account's: UIS sends local times without a zone.
    """
    try:
        parsed = _Body.model_validate(fields(query, body), context=Locale(zone, is_russian=is_russian))
    except PayloadError as exc:
        return Unreadable(exc.fault, exc.detail, key=_digest(event, query, body))
    parsed.event = (event or parsed.event).strip().lower()
    if parsed.event not in set(Event):
        fault = ParseError.UNKNOWN_EVENT if parsed.event else ParseError.NO_EVENT
        return Unreadable(fault, parsed.event[:60], key=_digest(event, query, body))
    if not parsed.call_session_id:
        return Unreadable(ParseError.NO_SESSION, parsed.event, key=_digest(event, query, body))
    return parsed.to_event()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class _Body(BaseModel):
    """The macros we use; any may be missing, others are ignored. The context is the account's Locale."""

    event: Text = ""
    call_session_id: Whole = None
    notification_time: LocalTime = None
    notification_timestamp: Moment = None
    start_time: LocalTime = None
    virtual_phone_number: Digits = ""
    contact_phone_number: Digits = ""
    direction: Text = ""
    employee_id: Whole = None
    last_talked_employee_id: Whole = None
    employee_ids: Ids = ()
    leg_id: Whole = None
    leg_ids: Ids = ()
    is_lost: YesOrNo = None
    is_internal: YesOrNo = None
    finish_reason: Text = ""
    lost_reason: Text = ""
    call_source: Text = ""
    external_id: Text = ""
    talk_time_duration: Seconds = None
    wait_time_duration: Seconds = None
    total_time_duration: Seconds = None
    file_link: Link = ""

    def to_event(self) -> ParsedWebhook:
        common: dict[str, Any] = {
            "event": self.event,
            "session_id": self.call_session_id,
            "key": self._key(),
            "happened_at": self._happened_at(),
            "contact": self.contact_phone_number,
            "number": self.virtual_phone_number,
            "direction": self._direction(),
            "employee_id": self.employee_id,
            "is_internal": bool(self.is_internal) or phone_numbers.is_internal(self.contact_phone_number),
            "external_id": self.external_id,
        }
        match self.event:
            case Event.WAITING | Event.OUTGOING:
                return RingingEvent(**common)
            case Event.TALK_STARTED:
                return AnsweredEvent(**common)
            case Event.CALL_END | Event.LOST_CALL:
                return self._ended(common)
            case Event.RECORDED:
                return RecordingEvent(**common, link=self.file_link)
            case _:
                return OtherEvent(**common)

    def _ended(self, common: dict[str, Any]) -> EndedEvent:
        return EndedEvent(
            **common,
            is_lost=self._is_lost(),
            talk_seconds=self.talk_time_duration,
            wait_seconds=self.wait_time_duration,
            total_seconds=self.total_time_duration,
            started_at=self._started_at(),
            rung_employee_ids=self.employee_ids,
            talker_id=self.last_talked_employee_id or self.employee_id,
            source=self.call_source,
            finish_reason=self._finish_reason(),
        )

    def _key(self) -> str:
        """Return the key that two deliveries of one event share.

        Further events of the same kind get other keys: another phone rings, another part is recorded, or the end is
        reported again because a menu had ended before the call did.
        """
        if self.event in {Event.CALL_END, Event.LOST_CALL}:
            lengths = (self.talk_time_duration, self.total_time_duration, self.wait_time_duration, self.is_lost)
            people = (self.employee_id, self.last_talked_employee_id, self.employee_ids)
            return f"{self.event}:{self.call_session_id}:{_digest(repr((lengths, people)))[:16]}"
        link = hashlib.sha256(self.file_link.encode()).hexdigest()[:16] if self.file_link else ""
        legs = self.leg_id or (_digest(*map(str, self.leg_ids))[:16] if self.leg_ids else "")
        return ":".join(map(str, (self.event, self.call_session_id, self.employee_id or "", legs, link)))

    def _direction(self) -> str:
        if self.event in {Event.INCOMING, Event.LOST_CALL}:
            return "in"  # UIS sends lost_call for incoming calls only.
        if self.event == Event.OUTGOING:
            return "out"
        return self.direction if self.direction in {"in", "out"} else ""

    def _is_lost(self) -> bool | None:
        """Derive it where missing: none of the published templates has the macro `is_lost`."""
        if self.event == Event.LOST_CALL:
            return True
        if self.talk_time_duration:
            return False
        if self.is_lost is not None:
            return self.is_lost and self._direction() != "out"
        return True if self._direction() == "in" else None

    def _finish_reason(self) -> str:
        """Return a documented reason; of the macro `lost_reason` no values are documented."""
        told = (finish_reasons.parse(raw) for raw in (self.finish_reason, self.lost_reason) if raw)
        return next(filter(None, told), "")

    def _happened_at(self) -> datetime | None:
        return self.notification_timestamp or self.notification_time

    def _started_at(self) -> datetime | None:
        """Return the start; calculated from the end where the template has no start_time."""
        if self.start_time:
            return self.start_time
        ended_at = self._happened_at()
        lasted = self.total_time_duration or self.wait_time_duration or 0
        return ended_at - timedelta(seconds=lasted) if ended_at else None
