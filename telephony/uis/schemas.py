"""Parses Data API rows into our dataclasses."""

from typing import Annotated, Any, TypeVar

import structlog
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from connector_project.core.http_client import UnexpectedReply
from telephony.uis import attribution, finish_reasons
from telephony.uis.call_facts import SOURCE_COLUMN
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
    is_lost: bool | None = None
    finish_reason: Text = ""
    wait_seconds: Seconds = Field(default=0, validation_alias="wait_duration")
    talk_seconds: int | None = Field(default=None, validation_alias="talk_duration")
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
    attribution: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_attribution(cls, raw: Any) -> Any:
        return raw | {"attribution": attribution.of_row(raw)} if isinstance(raw, dict) else raw

    @classmethod
    def wire_names(cls) -> list[str]:
        return [*(name for name in super().wire_names() if name != "attribution"), SOURCE_COLUMN]

    def to_event(self) -> EndedEvent:
        values = vars(self) | {"is_lost": self._is_lost()}
        del values["finish_reason"]
        return EndedEvent(event="report", result=self._result(), **values)

    def _is_lost(self) -> bool | None:
        """Return UIS's word; where it has none, whether nobody talked; None if that is not known either."""
        if self.talk_seconds or self.direction == "out":
            return False
        if self.is_lost is None and self.direction == "in" and self.talk_seconds is not None:
            return True
        return self.is_lost

    def _result(self) -> Result:
        if self.talk_seconds:
            return Result.ANSWERED
        if self.direction == "in":
            return finish_reasons.incoming_result(self.finish_reason, is_lost=self._is_lost() is not False)
        return finish_reasons.unanswered_result(self.finish_reason)


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
