"""Parses Data API rows into our dataclasses."""

from typing import Annotated, Any, TypeVar

import structlog
from pydantic import BeforeValidator, Field, ValidationError

from connector_project.core import phone_numbers
from connector_project.core.http_client import UnexpectedReply
from telephony.uis import finish_reasons
from telephony.uis.errors import SYSTEM
from telephony.uis.fields import Digits, Locale, Moment, Row, Seconds, Text, Words
from telephony.uis.types import EndedEvent, Result

logger = structlog.stdlib.get_logger(__name__)

RowT = TypeVar("RowT", bound=Row)


def _employee_ids(raw: Any) -> Any:
    if not isinstance(raw, list):
        return raw or ()
    ids = (person.get("employee_id") if isinstance(person, dict) else person for person in raw)
    return tuple(filter(None, ids))


class CallRow(Row):
    """A row of the calls report: the fields of EndedEvent, and what decides its result."""

    session_id: int = Field(validation_alias="id")
    started_at: Moment = Field(validation_alias="start_time")
    happened_at: Moment | None = Field(default=None, validation_alias="finish_time")
    contact: Digits = Field(default="", validation_alias="contact_phone_number")
    number: Digits = Field(default="", validation_alias="virtual_phone_number")
    direction: Text = ""
    source: Text = ""
    is_lost: bool | None = None
    finish_reason: Text = ""
    wait_seconds: Seconds = Field(default=0, validation_alias="wait_duration")
    talk_seconds: Seconds = Field(default=0, validation_alias="talk_duration")
    total_seconds: Seconds = Field(default=0, validation_alias="total_duration")
    record_ids: Words = Field(default=(), validation_alias="call_records")
    rung_employee_ids: Annotated[tuple[int, ...], BeforeValidator(_employee_ids)] = Field(
        default=(), validation_alias="employees"
    )
    talker_id: int | None = Field(default=None, validation_alias="last_talked_employee_id")
    external_id: Text = Field(default="", validation_alias="call_api_external_id")
    voice_mail_ids: Words = Field(default=(), validation_alias="voice_mail_records")
    communication_id: int | None = None
    whole_record: Text = Field(default="", validation_alias="full_record_file_link")

    def to_event(self) -> EndedEvent:
        is_lost = self.direction == "in" and not self.talk_seconds and self.is_lost is not False
        values = vars(self) | {"is_lost": is_lost, "is_internal": phone_numbers.is_internal(self.contact)}
        reason = values.pop("finish_reason")
        if self.talk_seconds:
            return EndedEvent(event="report", result=Result.ANSWERED, **values)
        find_result = finish_reasons.missed_result if is_lost else finish_reasons.unanswered_result
        return EndedEvent(event="report", result=find_result(reason), **values)


def parse(kind: type[RowT], data: object, locale: Locale) -> list[RowT]:
    """Parse the rows of a reply. A row that is not as documented is left out and logged: it must not block the others.

    If any leg of a call cannot be parsed, all its legs are left out: part of a call could name the wrong employee.
    Raises UnexpectedReply when no row can be parsed.
    """
    rows = data if isinstance(data, list) else [data] if data else []
    parsed = [(raw, _row(kind, raw, locale)) for raw in rows]
    broken = {raw.get("call_session_id") for raw, row in parsed if row is None and isinstance(raw, dict)} - {None}
    valid = [row for _raw, row in parsed if row is not None and getattr(row, "session_id", None) not in broken]
    if rows and not (valid and isinstance(data, list)):
        raise UnexpectedReply(SYSTEM, f"UIS sent rows that are not as documented ({kind.__name__}).")
    return valid


def _row(kind: type[RowT], raw: object, locale: Locale) -> RowT | None:
    try:
        return kind.model_validate(raw, context=locale, by_alias=True, by_name=False)
    except ValidationError as exc:
        where = exc.errors(include_input=False)[0]["loc"]
        logger.warning("UIS sent a row that is not as documented", kind=kind.__name__, fields=where)
        return None
