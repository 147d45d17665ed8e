"""Parses UIS webhooks into event dataclasses. Never raises: bodies are templates typed by people.

The vendor documents no list of events, no signature and no redelivery.
"""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AliasPath, BaseModel, BeforeValidator, Field, ValidationInfo

from connector_project.core import phone_numbers
from telephony.uis import attribution, finish_reasons, macro_values
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

# The column of our tables.
_LONGEST_NUMBER = 32
_HIDDEN = re.compile(
    r"0+|(anonym|hidden|private|restrict|withheld|unknown|аноним|скрыт|неизвест).{0,20}", re.IGNORECASE
)


def _is_hidden(raw: object) -> bool:
    """Whether UIS tells that the caller hides their number. Of any other word for it the report is asked."""
    return isinstance(raw, str) and _HIDDEN.fullmatch(raw.strip()) is not None


def _digits(text: str, info: ValidationInfo[Locale]) -> str:
    number = phone_numbers.from_vendor(text, region=info.context.region)
    return number if len(number) <= _LONGEST_NUMBER else ""


Whole = Annotated[int | None, BeforeValidator(macro_values.whole)]
YesOrNo = Annotated[bool | None, BeforeValidator(macro_values.yes_or_no)]
Seconds = Annotated[int | None, BeforeValidator(macro_values.seconds)]
Text = Annotated[str, BeforeValidator(macro_values.text)]
Link = Annotated[str, BeforeValidator(macro_values.link)]
Ids = Annotated[tuple[int, ...] | None, BeforeValidator(macro_values.ids)]
LocalTime = Annotated[datetime | None, BeforeValidator(macro_values.local_time)]
Moment = Annotated[datetime | None, BeforeValidator(macro_values.unix_time)]
Digits = Annotated[str, BeforeValidator(_digits), BeforeValidator(macro_values.text)]  # read from the right
Hidden = Annotated[bool, BeforeValidator(_is_hidden)]


def parse(query: str, body: str, *, event: str, zone: ZoneInfo, region: str) -> ParsedWebhook:
    """Parse a notification; `event` is the one in the webhook URL, or "".

    `zone` is the account's: UIS sends local times without a zone. `region` is its country (ISO code).
    """
    try:
        told = fields(query, body)
        parsed = _Body.model_validate(told, context=Locale(zone, region))
    except PayloadError as exc:
        return Unreadable(exc.fault, exc.detail, key=_digest(event, query, body))
    parsed.event = (event or parsed.event).strip().lower()
    if parsed.event not in set(Event):
        fault = ParseError.UNKNOWN_EVENT if parsed.event else ParseError.NO_EVENT
        return Unreadable(fault, parsed.event[:60], key=_digest(event, query, body))
    if not parsed.call_session_id:
        return Unreadable(ParseError.NO_SESSION, parsed.event, key=_digest(event, query, body))
    return parsed.to_event(attribution.of_notification(told))


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
    is_hidden: Hidden = Field(default=False, validation_alias=AliasPath("contact_phone_number"))
    direction: Text = ""
    employee_id: Whole = None
    last_talked_employee_id: Whole = None
    employee_ids: Ids = None
    leg_id: Whole = None
    leg_ids: Ids = None
    is_lost: YesOrNo = None
    is_internal: YesOrNo = None
    finish_reason: Text = ""
    lost_reason: Text = ""
    external_id: Text = ""
    talk_time_duration: Seconds = None
    wait_time_duration: Seconds = None
    total_time_duration: Seconds = None
    file_link: Link = ""

    def to_event(self, told: attribution.Values) -> ParsedWebhook:
        common: dict[str, Any] = {
            "event": self.event,
            "session_id": self.call_session_id,
            "key": self._key(),
            "happened_at": self._happened_at(),
            "contact": self.contact_phone_number,
            "is_hidden": self.is_hidden and not self.contact_phone_number,
            "number": self.virtual_phone_number,
            "direction": self._direction(),
            "employee_id": self.employee_id,
            "is_internal": self.is_internal,
            "external_id": self.external_id,
            "attribution": told,
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
        """Return UIS's word, or that somebody talked; None if neither is told: then UIS's report says it."""
        if self.event == Event.LOST_CALL:
            return True
        if self.talk_time_duration:
            return False
        return self.is_lost and self._direction() != "out"

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
