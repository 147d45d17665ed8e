"""The forms retailCRM writes and takes. Vendor names end here."""

from collections.abc import Mapping
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict

from crm.retailcrm.types import (
    CallEvent,
    CallRecord,
    EventAnswer,
    HistoryCall,
    Manager,
    Module,
    ModuleAnswer,
    ModuleState,
    Rights,
    UploadAnswer,
    User,
)

LONGEST_URL = 255
_RESULTS = {
    "ANSWERED": "answered",
    "NO_ANSWER": "no answer",  # call events spell it "no answered"
    "BUSY": "busy",
    "FAILED": "failed",
    "NOT_ALLOWED": "not allowed",
}


def _items(raw: object) -> object:
    """Bring a list into one form: PHP writes one with gaps as a map, and an absent one as null."""
    return tuple(raw.values()) if isinstance(raw, dict) else raw or ()


Text = Annotated[str, BeforeValidator(lambda raw: "" if raw is None else str(raw))]
Words = Annotated[tuple[str, ...], BeforeValidator(_items)]
Ids = Annotated[tuple[int, ...], BeforeValidator(_items)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


class Accepted(_Answer):
    """An answer that says nothing but yes."""


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
    additionalCodes: tuple[_Code, ...] = ()  # noqa: N815 -- the wire's name

    def codes(self) -> tuple[tuple[int, str], ...]:
        return tuple((item.userId, item.code) for item in self.additionalCodes)


class _Integrations(_Answer):
    telephony: _Telephony = _Telephony()


class _Module(_Answer):
    active: bool = False
    freeze: bool = False
    integrations: Annotated[_Integrations, BeforeValidator(lambda raw: raw or {})] = _Integrations()


class ModuleV5(_Answer):
    integrationModule: _Module  # noqa: N815 -- the wire's name

    def to_state(self) -> ModuleState:
        module = self.integrationModule
        return ModuleState(module.active and not module.freeze, module.integrations.telephony.codes())


class _Configuration(_Telephony):
    active: bool = False


class ModuleV4(_Answer):
    configuration: _Configuration

    def to_state(self) -> ModuleState:
        return ModuleState(self.configuration.active, self.configuration.codes())


class _Info(_Answer):
    notExistUsersIds: Ids = ()  # noqa: N815 -- the wire's name
    notExistSiteCodes: Words = ()  # noqa: N815 -- the wire's name


class ModuleEdited(_Answer):
    # An empty info is a list, a filled one a map.
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
    email: Text = ""
    active: bool = True

    def to_user(self) -> User:
        return User(self.id, f"{self.firstName} {self.lastName}".strip(), self.email.strip().lower(), self.active)


class _Pages(_Answer):
    totalPageCount: int = 1  # noqa: N815 -- the wire's name


class UsersAnswer(_Answer):
    users: tuple[_User, ...] = ()
    pagination: _Pages = _Pages()


class _HistoryCall(_Answer):
    externalId: Text = ""  # noqa: N815 -- the wire's name
    result: Text = ""


class _Cursor(_Answer):
    nextCursor: Text = ""  # noqa: N815 -- the wire's name


class HistoryAnswer(_Answer):
    calls: tuple[_HistoryCall, ...] = ()
    pagination: Annotated[_Cursor, BeforeValidator(lambda raw: raw or {})] = _Cursor()

    def to_calls(self) -> list[HistoryCall]:
        return [HistoryCall(call.externalId, call.result) for call in self.calls]


def to_event(event: CallEvent) -> dict[str, Any]:
    """Write an event; what is not known is left out."""
    return _known(
        {
            "phone": event.phone,
            "type": event.type.value,
            "codes": list(event.codes),
            "userIds": list(event.user_ids),
            "hangupStatus": event.hangup.value if event.hangup else "",
            "externalPhone": event.external_phone,
            "callExternalId": event.external_id,
            "site": event.site,
        }
    )


def to_record(call: CallRecord, *, zone: ZoneInfo) -> dict[str, Any]:
    """Write a finished call; `date` is local time of the account, without a zone."""
    written = {
        "date": call.started_at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
        "type": call.direction,
        "phone": call.phone,
        "result": _RESULTS.get(call.result, "unknown"),
        "externalId": call.external_id,
        "code": call.code,
        "userId": call.user_id,
        "externalPhone": call.external_phone,
        "site": call.site,
        "recordUrl": call.record_url if len(call.record_url) <= LONGEST_URL else "",
    }
    return _known(written) | {"duration": call.talk_seconds, "durationWaiting": call.wait_seconds}


def to_module_v5(module: Module) -> dict[str, Any]:
    """Write the integration module; extensions and numbers replace what was there."""
    return _known(
        {
            "code": module.code,
            "integrationCode": module.integration_code,
            "name": module.name,
            "logo": module.logo_url,
            "clientId": module.client_id,
            "baseUrl": module.base_url,
            "accountUrl": module.account_url,
            "actions": dict(module.actions),
        }
    ) | {"active": module.is_active, "integrations": {"telephony": _telephony(module)}}


def to_module_v4(module: Module) -> dict[str, Any]:
    """Write the telephony setting of version 4."""
    return {
        "code": module.code,
        "clientId": module.client_id,
        "active": module.is_active,
        "name": module.name,
        "image": module.logo_url,
    } | _telephony(module)


def _telephony(module: Module) -> dict[str, Any]:
    return {
        "makeCallUrl": module.make_call_url,
        "changeUserStatusUrl": module.change_status_url,
        "allowEdit": True,
        "inputEventSupported": True,
        "outputEventSupported": True,
        "hangupEventSupported": True,
        "additionalCodes": [{"userId": user_id, "code": code} for user_id, code in module.codes],
        "externalPhones": [{"siteCode": site, "externalPhone": phone} for site, phone in module.phones],
    }


def _known(written: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in written.items() if value or value is False}
