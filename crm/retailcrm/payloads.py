"""Builds the payloads of our module in both versions of the API."""

from collections.abc import Mapping
from typing import Any

from crm.retailcrm.types import Module


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
