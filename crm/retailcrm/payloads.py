"""Builds retailCRM request payloads from our types."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from crm.retailcrm.types import CallEvent, CallRecord, Module

LONGEST_URL = 255
_RESULTS = {
    "ANSWERED": "answered",
    "NO_ANSWER": "no answer",  # call events spell it "no answered"
    "BUSY": "busy",
    "FAILED": "failed",
    "NOT_ALLOWED": "not allowed",
}


def to_event(event: CallEvent) -> dict[str, Any]:
    """Return an event's payload; unknown values are left out."""
    return _without_empty(
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
    """Return a call's payload; `date` is in the account's local time, without an offset."""
    payload = {
        "date": call.started_at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
        "type": call.direction,
        "phone": call.phone,
        "result": _RESULTS.get(call.result, "unknown"),
        "externalId": call.external_id,
        "code": call.code,
        "userId": call.user_id,
        "externalPhone": call.external_phone,
        "site": call.site,
        "recordUrl": call.recording_url if len(call.recording_url) <= LONGEST_URL else "",
    }
    return _without_empty(payload) | {"duration": call.talk_seconds, "durationWaiting": call.wait_seconds}


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
