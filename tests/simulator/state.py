"""What the simulator has received, as plain values for scripts, tests and the page."""

from collections import Counter
from typing import Any

from tests.fakes.uis import Session
from tests.simulator import live_call
from tests.simulator.fixtures import SimulatedTenant
from tests.simulator.vendors import Vendors

SECRET = "clientId"


def state(tenant: SimulatedTenant) -> dict[str, Any]:
    """Return everything a script may see; no keys and no clientIds."""
    with tenant.lock:
        return {"hook_is_known": bool(tenant.hook), "crm": _crm(tenant), "uis": _uis(tenant)}


def calls_by_tenant(vendors: Vendors) -> list[dict[str, Any]]:
    """Return for each client the calls of UIS and the calls of their CRM."""
    with vendors.lock:
        return [
            {
                "client": tenant.client,
                "sessions": [_session(one) for one in tenant.pbx.sessions.values() if not one.is_running],
                "calls": [_call(call) for call in tenant.crm_account.calls],
                "over_limit": tenant.crm_account.over_limit,
            }
            for tenant in vendors.tenants
        ]


def events_of_all(vendors: Vendors) -> list[tuple[str, str]]:
    """Return the call and the time of each event that any CRM has received."""
    with vendors.lock:
        received = [event for tenant in vendors.tenants for event in tenant.crm_account.events]
    return [(one["callExternalId"], one["_at"].isoformat(timespec="milliseconds")) for one in received]


def _session(one: Session) -> dict[str, Any]:
    ended_at = one.ended_at or one.started_at
    return {
        "session": one.session_id,
        "direction": one.direction,
        "ended_at": ended_at.isoformat(timespec="milliseconds"),
        "rung": [leg.employee_id for leg in one.operator_legs],
        "talked": [leg.employee_id for leg in one.talk_legs],
    }


def _crm(tenant: SimulatedTenant) -> dict[str, Any]:
    account = tenant.crm_account
    requests = [one for one in tenant.crm.requests if one.host == account.host]
    return {
        "calls": [_call(call) for call in account.calls],
        "events": [_event(event) for event in account.events],
        "popups": {str(user_id): popups for user_id, popups in account.popups().items()},
        "users": [_user(tenant, user) for user in account.users.values()],
        "modules": {code: _module(module) for code, module in account.modules.items()},
        "uploads": len(account.uploads),
        "requests": {
            "count": len(requests),
            "refused": sum(one.status >= 400 for one in requests),
            "over_limit": account.over_limit,
            "by": dict(Counter(f"{one.method} {one.path}" for one in requests)),
        },
    }


def _uis(tenant: SimulatedTenant) -> dict[str, Any]:
    requests = [one for one in tenant.uis.requests if tenant.vendors.by_token(one.token) is tenant]
    return {
        "employees": [
            {
                "id": row["id"],
                "name": row["full_name"],
                "extension": row["extension"].get("extension_phone_number", ""),
                "email": row["email"],
                "status": tenant.pbx.statuses[row["status_id"]]["mnemonic"] or str(row["status_id"]),
                "status_name": tenant.pbx.statuses[row["status_id"]]["name"],
            }
            for row in tenant.pbx.employees.values()
        ],
        "dialled": [dict(params) for params in tenant.pbx.dialled],
        "calls": [
            {"session": session_id, "contact": one.contact, "direction": one.direction, "source": one.source}
            | {"external_id": one.external_id, "stage": live_call.phase(one)}
            for session_id, one in tenant.pbx.sessions.items()
        ],
        "requests": {
            "count": len(requests),
            "refused": sum(one.mnemonic is not None for one in requests),
            "by": dict(Counter(one.method for one in requests)),
        },
    }


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """Return one call of the CRM's history as it was uploaded, with the user it belongs to."""
    shown = {name: value for name, value in call.items() if name not in {SECRET, "_manager", "_at"}}
    received = {"at": call["_at"].isoformat(timespec="milliseconds")} if "_at" in call else {}
    return shown | received | {"manager": call["_manager"]}


def _event(event: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in event.items() if name not in {SECRET, "_at"}}
    return {"at": event["_at"].isoformat(timespec="milliseconds")} | shown


def _user(tenant: SimulatedTenant, user: dict[str, Any]) -> dict[str, Any]:
    name = " ".join(user[part] for part in ("firstName", "lastName") if part in user)
    return {
        "id": user["id"],
        "name": name,
        "email": user.get("email"),
        "status": user["status"],
        "extension": tenant.crm_account.extension_of(user["id"]),
    }


def _module(module: dict[str, Any]) -> dict[str, Any]:
    block = module.get("integrations", {}).get("telephony") or {}
    return {
        "name": module.get("name"),
        "active": module["active"],
        "frozen": module["freeze"],
        "extensions": {row["code"]: int(row["userId"]) for row in block.get("additionalCodes", [])},
        "numbers": {row["siteCode"]: row["externalPhone"] for row in block.get("externalPhones", [])},
        "makeCallUrl": bool(block.get("makeCallUrl")),
        "changeUserStatusUrl": bool(block.get("changeUserStatusUrl")),
    }
