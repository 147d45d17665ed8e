"""pydantic schemas of retailCRM responses, with conversions into our types."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict

from crm.retailcrm.types import (
    EventAnswer,
    HistoryCall,
    Manager,
    ModuleAnswer,
    ModuleState,
    Rights,
    UploadAnswer,
    User,
)


def _items(raw: object) -> object:
    """Normalise a list: PHP sends one with gaps as a map, and an absent one as null."""
    return tuple(raw.values()) if isinstance(raw, dict) else raw or ()


Text = Annotated[str, BeforeValidator(lambda raw: "" if raw is None else str(raw))]
Words = Annotated[tuple[str, ...], BeforeValidator(_items)]
Ids = Annotated[tuple[int, ...], BeforeValidator(_items)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


class Accepted(_Answer):
    """A response of which only `success` matters."""


class VersionsAnswer(_Answer):
    versions: Words = ()


class CredentialsAnswer(_Answer):
    scopes: Words = ()
    credentials: Words = ()
    sitesAvailable: Words = ()  # noqa: N815 -- the wire's name

    def to_rights(self) -> Rights:
        return Rights(frozenset(self.scopes), frozenset(self.credentials), self.sitesAvailable)


class SystemAnswer(_Answer):
    publicUrl: Text = ""  # noqa: N815 -- the wire's name


class _Setting(_Answer):
    value: Text = ""


class SettingsValues(_Answer):
    timezone: _Setting = _Setting()


class SettingsAnswer(_Answer):
    settings: SettingsValues = SettingsValues()


class _Code(_Answer):
    userId: int  # noqa: N815 -- the wire's name
    code: Text = ""


class _Telephony(_Answer):
    makeCallUrl: Text = ""  # noqa: N815 -- the wire's name
    changeUserStatusUrl: Text = ""  # noqa: N815 -- the wire's name
    additionalCodes: tuple[_Code, ...] = ()  # noqa: N815 -- the wire's name

    def codes(self) -> tuple[tuple[int, str], ...]:
        return tuple((item.userId, item.code) for item in self.additionalCodes)

    def addresses(self, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """Return the URLs the account returned, by wire name."""
        urls = (*more, ("makeCallUrl", self.makeCallUrl), ("changeUserStatusUrl", self.changeUserStatusUrl))
        return tuple((name, url) for name, url in urls if url)


class _Integrations(_Answer):
    telephony: _Telephony = _Telephony()


class _Module(_Answer):
    active: bool = False
    freeze: bool = False
    baseUrl: Text = ""  # noqa: N815 -- the wire's name
    integrations: Annotated[_Integrations, BeforeValidator(lambda raw: raw or {})] = _Integrations()


class ModuleV5(_Answer):
    integrationModule: _Module  # noqa: N815 -- the wire's name

    def to_state(self) -> ModuleState:
        module = self.integrationModule
        telephony = module.integrations.telephony
        return ModuleState(
            module.active, telephony.codes(), module.freeze, telephony.addresses(("baseUrl", module.baseUrl))
        )


class _Configuration(_Telephony):
    active: bool = False


class ModuleV4(_Answer):
    configuration: _Configuration

    def to_state(self) -> ModuleState:
        return ModuleState(
            self.configuration.active, self.configuration.codes(), addresses=self.configuration.addresses()
        )


class _Info(_Answer):
    notExistUsersIds: Ids = ()  # noqa: N815 -- the wire's name
    notExistSiteCodes: Words = ()  # noqa: N815 -- the wire's name


class ModuleEdited(_Answer):
    # PHP: an empty `info` is a list, otherwise a map.
    info: Annotated[_Info, BeforeValidator(lambda raw: raw or {})] = _Info()

    def to_answer(self) -> ModuleAnswer:
        return ModuleAnswer(self.info.notExistUsersIds, self.info.notExistSiteCodes)


class EventAnswered(_Answer):
    notExistCodes: Words = ()  # noqa: N815 -- the wire's name
    notExistUsers: Ids = ()  # noqa: N815 -- the wire's name

    def to_answer(self) -> EventAnswer:
        return EventAnswer(self.notExistCodes, self.notExistUsers)


class Uploaded(_Answer):
    processedCallsCount: int = 0  # noqa: N815 -- the wire's name
    duplicateCalls: Words = ()  # noqa: N815 -- the wire's name

    def to_answer(self) -> UploadAnswer:
        return UploadAnswer(self.processedCallsCount, self.duplicateCalls)


class _Person(_Answer):
    id: int | None = None
    code: Text = ""


class ManagerAnswer(_Answer):
    manager: Annotated[_Person, BeforeValidator(lambda raw: raw or {})] = _Person()

    def to_manager(self) -> Manager | None:
        return Manager(self.manager.id, self.manager.code) if self.manager.id else None


class _User(_Answer):
    id: int
    firstName: Text = ""  # noqa: N815 -- the wire's name
    lastName: Text = ""  # noqa: N815 -- the wire's name
    patronymic: Text = ""
    email: Text = ""
    phone: Text = ""
    active: bool = True

    def to_user(self) -> User:
        name = " ".join(f"{self.firstName} {self.patronymic} {self.lastName}".split())
        return User(self.id, name, self.email.strip().lower(), self.active, self.phone.strip())


class _Pages(_Answer):
    totalPageCount: int = 1  # noqa: N815 -- the wire's name


class UsersAnswer(_Answer):
    users: tuple[_User, ...] = ()
    pagination: _Pages = _Pages()


class _HistoryCall(_Answer):
    externalId: Text = ""  # noqa: N815 -- the wire's name
    result: Text = ""
    date: Text = ""

    def started_at(self, *, zone: ZoneInfo) -> datetime | None:
        try:
            return datetime.fromisoformat(self.date).replace(tzinfo=zone)
        except ValueError:
            return None


class _Cursor(_Answer):
    nextCursor: Text = ""  # noqa: N815 -- the wire's name


class HistoryAnswer(_Answer):
    calls: tuple[_HistoryCall, ...] = ()
    pagination: Annotated[_Cursor, BeforeValidator(lambda raw: raw or {})] = _Cursor()

    def to_calls(self, *, zone: ZoneInfo) -> list[HistoryCall]:
        return [HistoryCall(call.externalId, call.result, call.started_at(zone=zone)) for call in self.calls]
