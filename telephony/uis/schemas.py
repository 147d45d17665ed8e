"""pydantic schemas of Data API rows and their conversion to our dataclasses."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

import structlog
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from connector_project.core import phone_numbers
from connector_project.core.http_client import UnexpectedReply
from telephony.uis import finish_reasons
from telephony.uis.errors import SYSTEM
from telephony.uis.types import Account, CallLeg, EndedEvent, Result, Status, UisEmployee, UisNumber

logger = structlog.stdlib.get_logger(__name__)

Digits = Callable[[str | None], str]


def _dated(raw: str) -> str:
    """Raise ValueError if the text is not a date."""
    datetime.fromisoformat(raw)
    return raw


# The documentation says of every field that empty values come as null.
LocalDate = Annotated[str, AfterValidator(_dated)]
Text = Annotated[str, BeforeValidator(lambda raw: "" if raw is None else str(raw))]
Seconds = Annotated[int, BeforeValidator(lambda raw: raw or 0)]
Flag = Annotated[bool, BeforeValidator(bool)]
Words = Annotated[tuple[str, ...], BeforeValidator(lambda raw: raw or ())]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


RowT = TypeVar("RowT", bound=_Row)


class AccountRow(_Row):
    name: Text = ""
    timezone: Text = ""

    def to_account(self) -> Account:
        return Account(self.name, self.timezone)


class _Phone(_Row):
    phone_number: Text = ""
    status: Text = ""


class _Extension(_Row):
    extension_phone_number: Text = ""


class EmployeeRow(_Row):
    id: int
    full_name: Text = ""
    first_name: Text = ""
    last_name: Text = ""
    email: Text = ""
    status: Text = ""
    status_id: int | None = None
    call_recording: Text = "all"
    phone_numbers: Annotated[tuple[_Phone, ...], BeforeValidator(lambda raw: raw or ())] = ()
    extension: _Extension | None = None

    def to_employee(self, *, digits: Digits) -> UisEmployee:
        numbers = [digits(phone.phone_number) for phone in self.phone_numbers if phone.status != "inactive"]
        return UisEmployee(
            uis_id=self.id,
            full_name=self.full_name or f"{self.last_name} {self.first_name}".strip(),
            email=self.email.strip().lower(),
            extension=(self.extension.extension_phone_number if self.extension else "").strip(),
            numbers=tuple(number for number in numbers if number),
            status=self.status_code,
            recording_mode=self.call_recording or "all",
        )

    @property
    def status_code(self) -> str:
        """The status id; `status` is deprecated and set for standard statuses only."""
        return str(self.status_id) if self.status_id is not None else self.status


class StatusRow(_Row):
    id: int
    mnemonic: Text = ""
    name: Text = ""
    is_deleted: Flag = False

    def to_status(self) -> Status:
        return Status(self.id, self.mnemonic, self.name)


class NumberRow(_Row):
    virtual_phone_number: str
    name: Text = ""
    status: Text = ""

    def to_number(self, *, digits: Digits) -> UisNumber:
        return UisNumber(digits(self.virtual_phone_number), self.name, self.status == "active")


class LegRow(_Row):
    id: int
    call_session_id: int
    call_records: Words = ()
    start_time: LocalDate
    connect_time: LocalDate | None = None
    duration: Seconds = 0
    total_duration: Seconds = 0
    finish_reason: Text = ""
    virtual_phone_number: Text = ""
    calling_phone_number: Text = ""
    called_phone_number: Text = ""
    contact_phone_number: Text = ""
    is_operator: Flag = False
    is_talked: Flag = False
    is_coach: Flag = False
    employee_id: int | None = None

    def to_leg(self, *, zone: ZoneInfo, digits: Digits) -> CallLeg:
        return CallLeg(
            leg_id=self.id,
            session_id=self.call_session_id,
            started_at=to_time(self.start_time, zone=zone),
            connected_at=to_time(self.connect_time, zone=zone) if self.connect_time else None,
            talk_seconds=self.duration,
            total_seconds=self.total_duration,
            finish_reason=self.finish_reason,
            is_operator=self.is_operator,
            is_talked=self.is_talked,
            is_coach=self.is_coach,
            employee_id=self.employee_id,
            contact=digits(self.contact_phone_number),
            number=digits(self.virtual_phone_number),
            calling=digits(self.calling_phone_number),
            called=digits(self.called_phone_number),
            record_ids=self.call_records,
        )


class _Participant(_Row):
    employee_id: int | None = None


class CallRow(_Row):
    id: int
    start_time: LocalDate
    finish_time: LocalDate | None = None
    finish_reason: Text = ""
    direction: Text = ""
    source: Text = ""
    is_lost: bool | None = None
    contact_phone_number: Text = ""
    virtual_phone_number: Text = ""
    wait_duration: Seconds = 0
    talk_duration: Seconds = 0
    total_duration: Seconds = 0
    call_records: Words = ()
    employees: Annotated[tuple[_Participant, ...], BeforeValidator(lambda raw: raw or ())] = ()
    last_talked_employee_id: int | None = None
    call_api_external_id: Text = ""
    full_record_file_link: Text = ""

    def to_call(self, *, zone: ZoneInfo, digits: Digits) -> EndedEvent:
        contact = digits(self.contact_phone_number)
        is_lost = self.direction == "in" and not self.talk_duration and self.is_lost is not False
        return EndedEvent(
            event="report",
            session_id=self.id,
            happened_at=to_time(self.finish_time, zone=zone) if self.finish_time else None,
            contact=contact,
            number=digits(self.virtual_phone_number),
            direction=self.direction,
            is_internal=phone_numbers.is_internal(contact),
            is_lost=is_lost,
            talk_seconds=self.talk_duration,
            wait_seconds=self.wait_duration,
            total_seconds=self.total_duration,
            started_at=to_time(self.start_time, zone=zone),
            rung_employee_ids=tuple(person.employee_id for person in self.employees if person.employee_id),
            talker_id=self.last_talked_employee_id,
            source=self.source,
            external_id=self.call_api_external_id,
            record_ids=self.call_records,
            whole_record=self.full_record_file_link,
            result=self._result(is_lost=is_lost),
        )

    def _result(self, *, is_lost: bool) -> Result:
        if self.talk_duration:
            return Result.ANSWERED
        return (
            finish_reasons.missed_result(self.finish_reason)
            if is_lost
            else finish_reasons.unanswered_result(self.finish_reason)
        )


def parse(kind: type[RowT], data: object) -> list[RowT]:
    """Parse the rows of a reply. A row that is not as documented is left out and logged: it must not block the others.

    If any leg of a call cannot be parsed, all its legs are left out: part of a call could name the wrong employee.
    Raises UnexpectedReply when no row can be parsed.
    """
    rows = data if isinstance(data, list) else [data] if data else []
    parsed = [(raw, _row(kind, raw)) for raw in rows]
    broken = {raw.get("call_session_id") for raw, row in parsed if row is None and isinstance(raw, dict)} - {None}
    valid = [row for _raw, row in parsed if row is not None and getattr(row, "call_session_id", None) not in broken]
    if rows and not (valid and isinstance(data, list)):
        raise UnexpectedReply(SYSTEM, f"UIS sent rows that are not as documented ({kind.__name__}).")
    return valid


def _row(kind: type[RowT], raw: object) -> RowT | None:
    try:
        return kind.model_validate(raw)
    except ValidationError as exc:
        where = exc.errors(include_input=False)[0]["loc"]
        logger.warning("UIS sent a row that is not as documented", kind=kind.__name__, fields=where)
        return None


def to_time(local: str, *, zone: ZoneInfo) -> datetime:
    """Parse a Data API date: the account's local time without a zone. Raises UnexpectedReply."""
    try:
        return datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise UnexpectedReply(SYSTEM, f"UIS sent a date that is not as documented ({local[:40]!r}).") from exc


def to_local(moment: datetime, *, zone: ZoneInfo) -> str:
    """Format a datetime for the Data API: the account's local time without a zone."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
