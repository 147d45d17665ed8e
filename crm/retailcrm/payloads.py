"""What we send to retailCRM. Phone numbers are E.164 with a plus; datetimes are aware."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AliasGenerator, BaseModel, ConfigDict, Field, SerializationInfo, field_serializer
from pydantic.alias_generators import to_camel

LONGEST_URL = 255
_RESULTS = {
    "ANSWERED": "answered",
    "NO_ANSWER": "no answer",  # call events spell it "no answered"
    "BUSY": "busy",
    "FAILED": "failed",
    "NOT_ALLOWED": "not allowed",
}


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


class Campaign(Request):
    """An advertising campaign."""

    name: str


class WebAnalytics(Request):
    """Where a caller comes from."""

    campaign: Campaign


class Source(Request):
    """The advertising source of a call."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    keyword: str = ""
    content: str = ""


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
    web_analytics: WebAnalytics | None = Field(default=None, serialization_alias="webAnalyticsData")


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
    source: Source | None = None
    client_id: str = ""  # the visitor's, of the shop's web analytics

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
    client_id: str = field(repr=False)
    name: str
    logo_url: str
    # These have the secret part of our addresses.
    base_url: str = field(repr=False)
    make_call_url: str = field(repr=False)
    change_status_url: str = field(repr=False)
    integration_code: str = ""
    account_url: str = field(default="", repr=False)
    actions: tuple[tuple[str, str], ...] = ()
    is_active: bool = True
    codes: tuple[tuple[int, str], ...] = ()  # CRM user, extension
    phones: tuple[tuple[str, str], ...] = ()  # store, our number


def to_module_v5(module: Module) -> dict[str, Any]:
    """Return the integration module's payload; its extensions and numbers replace the existing ones."""
    return _without_empty(
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
    """Return the telephony setting's payload for version 4."""
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


def _without_empty(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if value or value is False}
