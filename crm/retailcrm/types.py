"""What retailCRM accepts and answers. Phone numbers are E.164 with a plus; datetimes are aware.

A field of an answer is read under its name in camel case, or where its alias says.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    StringConstraints,
    ValidationInfo,
    field_serializer,
)
from pydantic.alias_generators import to_camel

LONGEST_URL = 255
_RESULTS = {
    "ANSWERED": "answered",
    "NO_ANSWER": "no answer",  # call events spell it "no answered"
    "BUSY": "busy",
    "FAILED": "failed",
    "NOT_ALLOWED": "not allowed",
}


def _items(raw: object) -> object:
    """Normalise a list: PHP sends one with gaps as a map, and an absent one as null."""
    return tuple(raw.values()) if isinstance(raw, dict) else raw or ()


def _local_time(raw: Any, info: ValidationInfo[ZoneInfo | None]) -> datetime | None:
    """Parse a local time of the account, whose zone is the context; None if it is not one."""
    if not info.context:
        return raw  # type: ignore[no-any-return]  # our own value
    try:
        return datetime.fromisoformat(str(raw)).replace(tzinfo=info.context)
    except ValueError:
        return None


def _telephony(name: str) -> AliasChoices:
    """Return the places of a telephony field: in a module of version 5, and in a setting of version 4."""
    return AliasChoices(AliasPath("integrations", "telephony", name), name)


Text = Annotated[str, BeforeValidator(lambda raw: "" if raw is None else str(raw))]
Stripped = Annotated[Text, StringConstraints(strip_whitespace=True)]
Email = Annotated[Stripped, StringConstraints(to_lower=True)]
Words = Annotated[tuple[str, ...], BeforeValidator(_items)]
WordSet = Annotated[frozenset[str], BeforeValidator(_items)]
Ids = Annotated[tuple[int, ...], BeforeValidator(_items)]
LocalTime = Annotated[datetime | None, BeforeValidator(_local_time)]
# The user and their extension.
Code = Annotated[
    tuple[int, Text],
    BeforeValidator(lambda raw: (raw.get("userId"), raw.get("code")) if isinstance(raw, dict) else raw),
]


class Answer(BaseModel):
    """An answer or a part of it."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=AliasGenerator(validation_alias=to_camel),
        validate_by_name=True,
        coerce_numbers_to_str=True,
    )


class EventType(StrEnum):
    """Type of a call event."""

    IN = "in"
    OUT = "out"
    HANGUP = "hangup"


class Hangup(StrEnum):
    """Hangup status of a call event. The values differ from those of the upload ("no answer")."""

    ANSWERED = "answered"
    NO_ANSWER = "no answered"
    BUSY = "busy"
    CANCELLED = "cancel"
    FAILED = "failed"


class Request(BaseModel):
    """A part of a request, sent under names in camel case; a field with its default value is left out."""

    model_config = ConfigDict(frozen=True, alias_generator=AliasGenerator(serialization_alias=to_camel))

    def payload(self, *, zone: ZoneInfo | None = None) -> dict[str, Any]:
        """Return the JSON values to send; `zone` is the account's, for local times."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, context=zone)


class CallEvent(Request):
    """Opens or closes a pop-up, for the named users only."""

    type: EventType
    phone: str
    external_id: str = Field(default="", serialization_alias="callExternalId")
    codes: tuple[str, ...] = ()
    user_ids: tuple[int, ...] = ()
    external_phone: str = ""
    site: str = ""
    hangup: Hangup | None = Field(default=None, serialization_alias="hangupStatus")


class CallRecord(Request):
    """A finished call to upload. `result` is one of our Result codes; a recording URL that is too long is left out."""

    external_id: str
    started_at: datetime = Field(serialization_alias="date")
    direction: str = Field(serialization_alias="type")
    phone: str
    result: str
    talk_seconds: int = Field(serialization_alias="duration")
    wait_seconds: int = Field(serialization_alias="durationWaiting")
    code: str = ""
    user_id: int | None = None
    external_phone: str = ""
    site: str = ""
    recording_url: Annotated[str, AfterValidator(lambda url: url if len(url) <= LONGEST_URL else "")] = Field(
        default="", serialization_alias="recordUrl"
    )

    @field_serializer("started_at")
    def _in_local_time(self, started_at: datetime, info: SerializationInfo[ZoneInfo | None]) -> str:
        return started_at.astimezone(info.context).strftime("%Y-%m-%d %H:%M:%S")

    @field_serializer("result")
    def _as_named_by_the_crm(self, result: str) -> str:
        return _RESULTS.get(result, "unknown")


@dataclass(frozen=True, kw_only=True)
class Module:
    """Our integration module, to be sent to the account."""

    code: str
    client_id: str
    name: str
    logo_url: str
    base_url: str
    make_call_url: str
    change_status_url: str
    integration_code: str = ""
    account_url: str = ""
    actions: tuple[tuple[str, str], ...] = ()
    is_active: bool = True
    codes: tuple[tuple[int, str], ...] = ()  # CRM user, extension
    phones: tuple[tuple[str, str], ...] = ()  # store, our number


class VersionsAnswer(Answer):
    versions: Words = ()


class SystemAnswer(Answer):
    public_url: Text = ""


class _Settings(Answer):
    time_zone: Text = Field(default="", validation_alias=AliasPath("timezone", "value"))


class SettingsAnswer(Answer):
    settings: _Settings = _Settings()


class EventAnswer(Answer):
    """Extensions and users unknown to the account."""

    unknown_codes: Words = Field(default=(), validation_alias="notExistCodes")
    unknown_users: Ids = Field(default=(), validation_alias="notExistUsers")


class UploadAnswer(Answer):
    """Number of accepted calls, and the external IDs of those the account already had."""

    processed: int = Field(default=0, validation_alias="processedCallsCount")
    duplicates: Words = Field(default=(), validation_alias="duplicateCalls")


class Manager(Answer):
    """A customer's manager; where there is none, the CRM sends null, an empty list or a map without an id."""

    user_id: int = Field(validation_alias="id")
    code: Text = ""


class ManagerAnswer(Answer):
    manager: Annotated[
        Manager | None, BeforeValidator(lambda raw: raw if isinstance(raw, dict) and raw.get("id") else None)
    ] = None


class User(Answer):
    user_id: int = Field(validation_alias="id")
    first_name: Text = ""
    patronymic: Text = ""
    last_name: Text = ""
    email: Email = ""
    is_active: bool = Field(default=True, validation_alias="active")
    phone: Stripped = ""  # as entered by a user

    @property
    def name(self) -> str:
        return " ".join(f"{self.first_name} {self.patronymic} {self.last_name}".split())


class UsersAnswer(Answer):
    users: tuple[User, ...] = ()
    last_page: int = Field(default=1, validation_alias=AliasPath("pagination", "totalPageCount"))


class Rights(Answer):
    """A key's permissions. Old keys have method patterns instead of scopes."""

    scopes: WordSet = frozenset()
    patterns: WordSet = Field(default=frozenset(), validation_alias="credentials")
    sites: Words = Field(default=(), validation_alias="sitesAvailable")

    def lacks(self, scope: str, *patterns: str) -> bool:
        """Return whether the key certainly lacks the scope; False for a key without scopes and patterns."""
        if self.scopes:
            return scope not in self.scopes
        return bool(self.patterns) and self.patterns.isdisjoint(patterns)


class ModuleState(Answer):
    """Our integration module as the account stores it."""

    is_on: bool = Field(default=False, validation_alias="active")
    codes: tuple[Code, ...] = Field(default=(), validation_alias=_telephony("additionalCodes"))
    is_frozen: bool = Field(
        default=False, validation_alias="freeze"
    )  # by the vendor, usually because it is not paid for
    base_url: Text = ""
    make_call_url: Text = Field(default="", validation_alias=_telephony("makeCallUrl"))
    change_status_url: Text = Field(default="", validation_alias=_telephony("changeUserStatusUrl"))


class StoredModule(Answer):
    """The answers of version 5 and of version 4."""

    state: ModuleState = Field(validation_alias=AliasChoices("integrationModule", "configuration"))


class ModuleAnswer(Answer):
    """Users and stores in the module that are unknown to the account."""

    # PHP: an empty `info` is a list, otherwise a map.
    unknown_users: Ids = Field(default=(), validation_alias=AliasPath("info", "notExistUsersIds"))
    unknown_sites: Words = Field(default=(), validation_alias=AliasPath("info", "notExistSiteCodes"))


class HistoryCall(Answer):
    """A call in the account's history."""

    external_id: Text = ""
    result: Text = ""
    started_at: LocalTime = Field(default=None, validation_alias="date")


class HistoryAnswer(Answer):
    calls: tuple[HistoryCall, ...] = ()
    next_cursor: Text = Field(default="", validation_alias=AliasPath("pagination", "nextCursor"))
