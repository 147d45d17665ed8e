"""A notification of UIS in our words. Never raises: bodies are templates typed by people.

The vendor documents no list of events, no signature and no repeats; facts are in the README's list of sources.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict

from connector_project import phones
from telephony.uis.body import NotReadable, fields
from telephony.uis.types import (
    Event,
    Fault,
    FinishedCall,
    Mentioned,
    Recorded,
    Said,
    TalkStarted,
    Unreadable,
    WaitingCall,
)

_TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
)
_LARGEST_ID = 2**63 - 1
_LARGEST_SECONDS = 2**31 - 1
# What a row can hold of a text; and no clock of a telephone exchange shows a year outside of these.
_LONGEST_TEXT = 100
_LONGEST_LINK = 2000
_LONGEST_NUMBER = 32
_YEARS = range(2000, 2100)


def _whole(raw: object) -> int | None:
    """Read a number that may come bare, in quotes, or as nonsense."""
    text = re.sub(r"\.0+$", "", str(raw).strip())
    return int(text) if re.fullmatch(r"\d{1,19}", text, re.ASCII) and int(text) <= _LARGEST_ID else None


def _yes_or_no(raw: object) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(str(raw).strip().lower())


def _seconds(raw: object) -> int | None:
    number = _whole(raw)
    return number if number is not None and number <= _LARGEST_SECONDS else None


def _link(raw: object) -> str:
    """Read a text without what no database takes: NUL, and halves of characters out of JSON escapes."""
    text = str(raw) if isinstance(raw, str | int) and not isinstance(raw, bool) else ""
    return text.replace("\0", "").encode(errors="replace").decode()[:_LONGEST_LINK]


def _text(raw: object) -> str:
    return _link(raw)[:_LONGEST_TEXT]


def _ids(raw: object) -> tuple[int, ...]:
    """Read a list of ids that may come as an array or as text."""
    items = raw if isinstance(raw, list) else str(raw or "").strip("[] ").split(",")
    return tuple(number for item in items if (number := _whole(item)) is not None)


def _local_time(raw: object) -> datetime | None:
    for form in _TIME_FORMATS:
        try:
            read = datetime.strptime(str(raw), form)  # noqa: DTZ007 -- the zone is the account's; added by the caller
        except ValueError:
            continue
        return read if read.year in _YEARS else None
    return None


def _moment(raw: object) -> datetime | None:
    """Read a unix time."""
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


class _Body(BaseModel):
    """The macros we use; every one may be missing, unknown ones are ignored."""

    model_config = ConfigDict(extra="ignore")

    event: Text = ""
    call_session_id: Whole = None
    notification_time: LocalTime = None
    notification_timestamp: Moment = None
    start_time: LocalTime = None
    virtual_phone_number: Text = ""
    contact_phone_number: Text = ""
    direction: Text = ""
    employee_id: Whole = None
    last_talked_employee_id: Whole = None
    employee_ids: Ids = ()
    leg_id: Whole = None
    leg_ids: Ids = ()
    is_lost: YesOrNo = None
    is_internal: YesOrNo = None
    call_source: Text = ""
    external_id: Text = ""
    talk_time_duration: Seconds = None
    wait_time_duration: Seconds = None
    total_time_duration: Seconds = None
    file_link: Link = ""


def read(query: str, body: str, *, event: str, zone: ZoneInfo, is_russian: bool) -> Said:
    """Return what a notification says; `event` is the one named in the address, or "".

    `zone` is the account's: UIS writes local times without a zone.
    """
    try:
        said = _Body.model_validate(fields(query, body))
    except NotReadable as exc:
        return Unreadable(exc.fault, exc.detail, key=_digest(event, query, body))
    name = (event or said.event).strip().lower()
    if name not in set(Event):
        fault = Fault.UNKNOWN_EVENT if name else Fault.NO_EVENT
        return Unreadable(fault, name[:60], key=_digest(event, query, body))
    if not said.call_session_id:
        return Unreadable(Fault.NO_SESSION, name, key=_digest(event, query, body))
    return _Reader(said, Event(name), zone=zone, is_russian=is_russian).read()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class _Reader:
    """One readable body on its way into our words."""

    def __init__(self, said: _Body, event: Event, *, zone: ZoneInfo, is_russian: bool) -> None:
        self.said, self.event, self.zone, self.is_russian = said, event, zone, is_russian

    def read(self) -> Said:
        common = self._common()
        match self.event:
            case Event.WAITING | Event.OUTGOING:
                return WaitingCall(**common)
            case Event.TALK_STARTED:
                return TalkStarted(**common)
            case Event.CALL_END | Event.LOST_CALL:
                return self._finished(common)
            case Event.RECORDED:
                return Recorded(**common, link=self.said.file_link)
            case _:
                return Mentioned(**common)

    def _common(self) -> dict[str, Any]:
        said = self.said
        contact, number = self._digits(said.contact_phone_number), self._digits(said.virtual_phone_number)
        return {
            "event": self.event.value,
            "session_id": said.call_session_id,
            "key": self._key(),
            "happened_at": self._happened_at(),
            "contact": contact,
            "number": number,
            "direction": self._direction(),
            "employee_id": said.employee_id,
            "is_internal": bool(said.is_internal) or phones.is_internal(contact),
        }

    def _finished(self, common: dict[str, Any]) -> FinishedCall:
        said = self.said
        return FinishedCall(
            **common,
            is_lost=self._is_lost(),
            talk_seconds=said.talk_time_duration,
            wait_seconds=said.wait_time_duration,
            total_seconds=said.total_time_duration,
            started_at=self._started_at(),
            rung_ids=said.employee_ids,
            talker_id=said.last_talked_employee_id or said.employee_id,
            source=said.call_source,
            external_id=said.external_id,
        )

    def _key(self) -> str:
        """Tell a repeat from a second event of the same kind.

        Another phone rings, another part is recorded; an end is told anew where a menu had ended before the call did.
        """
        said = self.said
        if self.event in {Event.CALL_END, Event.LOST_CALL}:
            story = (said.talk_time_duration, said.total_time_duration, said.wait_time_duration, said.is_lost)
            people = (said.employee_id, said.last_talked_employee_id, said.employee_ids)
            return f"{self.event}:{said.call_session_id}:{_digest(repr((story, people)))[:16]}"
        link = hashlib.sha256(said.file_link.encode()).hexdigest()[:16] if said.file_link else ""
        legs = said.leg_id or (_digest(*map(str, said.leg_ids))[:16] if said.leg_ids else "")
        return ":".join(map(str, (self.event, said.call_session_id, said.employee_id or "", legs, link)))

    def _direction(self) -> str:
        if self.event in {Event.INCOMING, Event.LOST_CALL}:
            return "in"  # Lost calls are told of for incoming ones only.
        if self.event == Event.OUTGOING:
            return "out"
        return self.said.direction if self.said.direction in {"in", "out"} else ""

    def _is_lost(self) -> bool | None:
        """Decide what nobody said: the macro is in none of the published templates."""
        if self.event == Event.LOST_CALL:
            return True
        if self.said.talk_time_duration:
            return False
        if self.said.is_lost is not None:
            return self.said.is_lost and self._direction() != "out"
        return True if self._direction() == "in" else None

    def _happened_at(self) -> datetime | None:
        return self.said.notification_timestamp or self._aware(self.said.notification_time)

    def _started_at(self) -> datetime | None:
        """Return the start, counted back from the end where the template has no start_time."""
        if self.said.start_time:
            return self._aware(self.said.start_time)
        ended_at = self._happened_at()
        lasted = self.said.total_time_duration or self.said.wait_time_duration or 0
        return ended_at - timedelta(seconds=lasted) if ended_at else None

    def _aware(self, local: datetime | None) -> datetime | None:
        return local.replace(tzinfo=self.zone).astimezone(UTC) if local else None

    def _digits(self, raw: str) -> str:
        number = phones.digits(raw, is_russian=self.is_russian)
        return number if len(number) <= _LONGEST_NUMBER else ""
