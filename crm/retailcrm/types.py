"""What retailCRM accepts and answers. Phone numbers are E.164 with a plus; datetimes are aware.

An answer is parsed into its dataclass: a field is read under its name in camel case, or where its alias says.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as parsed


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
Email = Annotated[Text, StringConstraints(strip_whitespace=True, to_lower=True)]
Typed = Annotated[Text, StringConstraints(strip_whitespace=True)]
Words = Annotated[tuple[str, ...], BeforeValidator(_items)]
WordSet = Annotated[frozenset[str], BeforeValidator(_items)]
Ids = Annotated[tuple[int, ...], BeforeValidator(_items)]
LocalTime = Annotated[datetime | None, BeforeValidator(_local_time)]
# The user and their extension.
Code = Annotated[
    tuple[int, Text],
    BeforeValidator(lambda raw: (raw.get("userId"), raw.get("code")) if isinstance(raw, dict) else raw),
]

_CONFIG = ConfigDict(
    alias_generator=AliasGenerator(validation_alias=to_camel), validate_by_name=True, coerce_numbers_to_str=True
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


@dataclass(frozen=True, kw_only=True)
class CallEvent:
    """Opens or closes a pop-up, for the named users only."""

    type: EventType
    phone: str
    external_id: str
    codes: tuple[str, ...] = ()
    user_ids: tuple[int, ...] = ()
    external_phone: str = ""
    site: str = ""
    hangup: Hangup | None = None


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """A finished call to upload. `result` is one of our Result codes."""

    external_id: str
    started_at: datetime
    direction: str
    phone: str
    result: str
    talk_seconds: int
    wait_seconds: int
    code: str = ""
    user_id: int | None = None
    external_phone: str = ""
    site: str = ""
    recording_url: str = ""


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


@parsed(frozen=True, config=_CONFIG)
class VersionsAnswer:
    versions: Words = ()


@parsed(frozen=True, config=_CONFIG)
class SystemAnswer:
    public_url: Text = ""


@parsed(frozen=True, config=_CONFIG)
class _Settings:
    time_zone: Text = Field(default="", validation_alias=AliasPath("timezone", "value"))


@parsed(frozen=True, config=_CONFIG)
class SettingsAnswer:
    settings: _Settings = _Settings()


@parsed(frozen=True, config=_CONFIG)
class EventAnswer:
    """Extensions and users unknown to the account."""

    unknown_codes: Words = Field(default=(), validation_alias="notExistCodes")
    unknown_users: Ids = Field(default=(), validation_alias="notExistUsers")


@parsed(frozen=True, config=_CONFIG)
class UploadAnswer:
    """Number of accepted calls, and the external IDs of those the account already had."""

    processed: int = Field(default=0, validation_alias="processedCallsCount")
    duplicates: Words = Field(default=(), validation_alias="duplicateCalls")


@parsed(frozen=True, config=_CONFIG)
class Manager:
    """A customer's manager; where there is none, the CRM sends null, an empty list or a map without an id."""

    user_id: int = Field(validation_alias="id")
    code: Text = ""


@parsed(frozen=True, config=_CONFIG)
class ManagerAnswer:
    manager: Annotated[
        Manager | None, BeforeValidator(lambda raw: raw if isinstance(raw, dict) and raw.get("id") else None)
    ] = None


@parsed(frozen=True, config=_CONFIG)
class User:
    user_id: int = Field(validation_alias="id")
    name: str = ""
    email: Email = ""
    is_active: bool = Field(default=True, validation_alias="active")
    phone: Typed = ""  # as entered by a user

    @model_validator(mode="before")
    @classmethod
    def _join_name(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        parts = (raw.get(name) for name in ("firstName", "patronymic", "lastName"))
        return {**raw, "name": " ".join(" ".join(str(part) for part in parts if part).split())}


@parsed(frozen=True, config=_CONFIG)
class UsersAnswer:
    users: tuple[User, ...] = ()
    last_page: int = Field(default=1, validation_alias=AliasPath("pagination", "totalPageCount"))


@parsed(frozen=True, config=_CONFIG)
class Rights:
    """A key's permissions. Old keys have method patterns instead of scopes."""

    scopes: WordSet = frozenset()
    patterns: WordSet = Field(default=frozenset(), validation_alias="credentials")
    sites: Words = Field(default=(), validation_alias="sitesAvailable")

    def lacks(self, scope: str, *patterns: str) -> bool:
        """Return whether the key certainly lacks the scope; False for a key without scopes and patterns."""
        if self.scopes:
            return scope not in self.scopes
        return bool(self.patterns) and self.patterns.isdisjoint(patterns)


@parsed(frozen=True, config=_CONFIG)
class ModuleState:
    """Our integration module as the account stores it."""

    is_on: bool = Field(default=False, validation_alias="active")
    codes: tuple[Code, ...] = Field(default=(), validation_alias=_telephony("additionalCodes"))
    is_frozen: bool = Field(
        default=False, validation_alias="freeze"
    )  # by the vendor, usually because it is not paid for
    base_url: Text = ""
    make_call_url: Text = Field(default="", validation_alias=_telephony("makeCallUrl"))
    change_status_url: Text = Field(default="", validation_alias=_telephony("changeUserStatusUrl"))

    @property
    def addresses(self) -> dict[str, str]:
        """The URLs that the account returned, by wire name."""
        urls = {
            "baseUrl": self.base_url,
            "makeCallUrl": self.make_call_url,
            "changeUserStatusUrl": self.change_status_url,
        }
        return {name: url for name, url in urls.items() if url}


@parsed(frozen=True, config=_CONFIG)
class StoredModule:
    """The answers of version 5 and of version 4."""

    state: ModuleState = Field(validation_alias=AliasChoices("integrationModule", "configuration"))


@parsed(frozen=True, config=_CONFIG)
class ModuleAnswer:
    """Users and stores in the module that are unknown to the account."""

    # PHP: an empty `info` is a list, otherwise a map.
    unknown_users: Ids = Field(default=(), validation_alias=AliasPath("info", "notExistUsersIds"))
    unknown_sites: Words = Field(default=(), validation_alias=AliasPath("info", "notExistSiteCodes"))


@parsed(frozen=True, config=_CONFIG)
class HistoryCall:
    """A call in the account's history."""

    external_id: Text = ""
    result: Text = ""
    started_at: LocalTime = Field(default=None, validation_alias="date")


@parsed(frozen=True, config=_CONFIG)
class HistoryAnswer:
    calls: tuple[HistoryCall, ...] = ()
    next_cursor: Text = Field(default="", validation_alias=AliasPath("pagination", "nextCursor"))
