"""What retailCRM answers. Datetimes are aware.

A field of an answer is read under its name in camel case, or where its alias says.
"""

from datetime import datetime
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
)
from pydantic.alias_generators import to_camel


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
    """Number of stored calls, None if it is not told, and the external IDs of those the account already had."""

    processed: int | None = Field(default=None, validation_alias="processedCallsCount")
    duplicates: Words = Field(default=(), validation_alias="duplicateCalls")


def _with_id(raw: object) -> object:
    return raw if isinstance(raw, dict) and raw.get("id") else None


class Manager(Answer):
    """A customer's manager; where there is none, the CRM sends null, an empty list or a map without an id."""

    user_id: int = Field(validation_alias="id")
    code: Text = ""


class ManagerAnswer(Answer):
    manager: Annotated[Manager | None, BeforeValidator(_with_id)] = None
    is_known: Annotated[bool, BeforeValidator(lambda raw: _with_id(raw) is not None)] = Field(
        default=False, validation_alias="customer"
    )


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
    total: int = Field(default=0, validation_alias=AliasPath("pagination", "totalCount"))
    last_page: int = Field(default=1, validation_alias=AliasPath("pagination", "totalPageCount"))


class UserList(NamedTuple):
    """All users as one reading found them; incomplete if the CRM states more users than it sent."""

    users: tuple[User, ...]
    is_complete: bool = True


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

    @property
    def is_working(self) -> bool:
        return self.is_on and not self.is_frozen


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
