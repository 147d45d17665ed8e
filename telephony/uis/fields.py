"""Types of the fields of Data API rows. Their context is the account's Locale; without one, they take our own values.

The documentation says of every field that empty values come as null.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationInfo

from connector_project.core import phone_numbers


class Locale(NamedTuple):
    """How an account writes times, and the country (ISO code) of numbers without a country code."""

    zone: ZoneInfo
    region: str = "RU"


def to_time(text: str, *, zone: ZoneInfo) -> datetime:
    """Parse a date of UIS: an offset in it counts; without one it is the account's local time. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("no real date") from exc


def to_local(moment: datetime, *, zone: ZoneInfo) -> str:
    """Format a datetime for the Data API: the account's local time without a zone."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def _moment(raw: Any, info: ValidationInfo[Locale | None]) -> Any:
    return to_time(str(raw), zone=info.context.zone) if info.context else raw


def _digits(text: str, info: ValidationInfo[Locale | None]) -> str:
    return phone_numbers.from_vendor(text, region=info.context.region) if info.context else text


Moment = Annotated[datetime, BeforeValidator(_moment)]
Number = Annotated[str, AfterValidator(_digits)]
Text = Annotated[str, BeforeValidator(lambda raw: "" if raw is None else str(raw))]
Digits = Annotated[Text, AfterValidator(_digits)]
Stripped = Annotated[Text, StringConstraints(strip_whitespace=True)]
Email = Annotated[Stripped, StringConstraints(to_lower=True)]
Seconds = Annotated[int, BeforeValidator(lambda raw: raw or 0)]  # where an empty value is none at all
Flag = Annotated[bool, BeforeValidator(bool)]
Words = Annotated[tuple[str, ...], BeforeValidator(lambda raw: raw or ())]


class Row(BaseModel):
    """A row of the Data API; a field has UIS's name, or the one of its alias."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, coerce_numbers_to_str=True)

    @classmethod
    def wire_names(cls) -> list[str]:
        """Return UIS's names of the fields: what to request."""
        return [str(field.validation_alias or name) for name, field in cls.model_fields.items()]
