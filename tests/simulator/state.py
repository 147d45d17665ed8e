"""What both sides know by now, as plain values for scripts, tests and the page."""

from collections import Counter
from typing import Any

from tests.fakes.uis import Session
from tests.simulator import polling
from tests.simulator.fixtures import World
from tests.simulator.vendors import Vendors

SECRET = "clientId"


def state(world: World) -> dict[str, Any]:
    """Return everything a script may look at; keys and clientIds are not among it."""
    with world.lock:
        return {"hook_is_known": bool(world.hook), "crm": _crm(world), "uis": _uis(world)}


def ledger(vendors: Vendors) -> list[dict[str, Any]]:
    """Return for each client the calls that UIS lists, and the calls that his CRM has."""
    with vendors.lock:
        return [
            {
                "client": world.client,
                "sessions": [_session(one) for one in world.pbx.sessions.values() if not one.is_running],
                "calls": [_call(call) for call in world.shop.calls],
                "over_limit": world.shop.over_limit,
            }
            for world in vendors.worlds
        ]


def _session(one: Session) -> dict[str, Any]:
    ended_at = one.ended_at or one.started_at
    return {
        "session": one.session_id,
        "direction": one.direction,
        "ended_at": ended_at.isoformat(timespec="milliseconds"),
        "rung": [leg.employee_id for leg in one.operator_legs],
        "talked": [leg.employee_id for leg in one.talk_legs],
    }


def _crm(world: World) -> dict[str, Any]:
    shop = world.shop
    asked = [one for one in world.crm.requests if one.host == shop.host]
    return {
        "calls": [_call(call) for call in shop.calls],
        "events": [_event(event) for event in shop.events],
        "cards": {str(user_id): cards for user_id, cards in shop.cards().items()},
        "users": [_user(world, user) for user in shop.users.values()],
        "modules": {code: _module(module) for code, module in shop.modules.items()},
        "uploads": len(shop.uploads),
        "requests": {
            "count": len(asked),
            "refused": sum(one.status >= 400 for one in asked),
            "over_limit": shop.over_limit,
            "by": dict(Counter(f"{one.method} {one.path}" for one in asked)),
        },
    }


def _uis(world: World) -> dict[str, Any]:
    asked = [one for one in world.uis.requests if world.vendors.of_token(one.token) is world]
    return {
        "employees": [
            {
                "id": row["id"],
                "name": row["full_name"],
                "extension": row["extension"].get("extension_phone_number", ""),
                "email": row["email"],
                "status": world.pbx.statuses[row["status_id"]]["mnemonic"] or str(row["status_id"]),
                "status_name": world.pbx.statuses[row["status_id"]]["name"],
            }
            for row in world.pbx.employees.values()
        ],
        "dialled": [dict(params) for params in world.pbx.dialled],
        "calls": [
            {"session": session_id, "contact": one.contact, "direction": one.direction, "source": one.source}
            | {"external_id": one.external_id, "stage": polling.stage(one)}
            for session_id, one in world.pbx.sessions.items()
        ],
        "requests": {
            "count": len(asked),
            "refused": sum(one.mnemonic is not None for one in asked),
            "by": dict(Counter(one.method for one in asked)),
        },
    }


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """Return one call of the CRM's history as it was uploaded, with the user it was put down to."""
    shown = {name: value for name, value in call.items() if name not in {SECRET, "_manager", "_at"}}
    came = {"at": call["_at"].isoformat(timespec="milliseconds")} if "_at" in call else {}
    return shown | came | {"manager": call["_manager"]}


def _event(event: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in event.items() if name not in {SECRET, "_at"}}
    return {"at": event["_at"].isoformat(timespec="milliseconds")} | shown


def _user(world: World, user: dict[str, Any]) -> dict[str, Any]:
    name = " ".join(user[part] for part in ("firstName", "lastName") if part in user)
    return {
        "id": user["id"],
        "name": name,
        "email": user.get("email"),
        "status": user["status"],
        "extension": world.shop.extension_of(user["id"]),
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
