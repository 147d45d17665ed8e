"""Control commands that simulate faults of the vendors, for all clients or for one."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.simulator.fixtures import SIDES, BadRequest, Delay, SimulatedTenant

Params = Mapping[str, Any]
DELIVERY_MODES = ("send", "hold", "drop")
_REVOKED_PREFIX = "revoked"


def break_down(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"side": "uis"|"crm", "kind": "503", "times": 3, "method": … (uis), "path_part": …, "retry_after": … (crm)}."""
    options, is_single_tenant = {"times": params.get("times")}, "client" in params
    try:
        with tenant.lock:
            if _side(params) == "uis":
                options |= {"method": params.get("method"), "token": tenant.pbx.token if is_single_tenant else None}
                tenant.uis.break_down(str(params.get("kind")), **options)
            else:
                options |= {name: params.get(name) for name in ("path_part", "retry_after")}
                options |= {"host": tenant.crm_account.host if is_single_tenant else None}
                tenant.crm.break_down(str(params.get("kind")), **options)
    except ValueError as exc:
        raise BadRequest(str(exc)) from exc
    return {"done": True}


def repair(tenant: SimulatedTenant, _params: Params) -> dict[str, Any]:
    """Remove all faults."""
    tenant.vendors.repair()
    return {"done": True}


def delay(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"side": …, "seconds": 5, "part": "calls/upload", "times": 1}: execute requests at once, answer them late."""
    try:
        seconds = float(params.get("seconds", 0))
    except (TypeError, ValueError) as exc:
        raise BadRequest("seconds must be a number") from exc
    return _add_delay(tenant, params, seconds=seconds)


def cut(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"side": …, "part": "calls/upload", "times": 1}: execute requests, but close the connection."""
    return _add_delay(tenant, params, seconds=0.0, is_cut=True)


def set_delivery(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"do": "hold"|"drop"|"send"}: what UIS does with its notifications; `send` also sends the held ones."""
    mode = str(params.get("do"))
    if mode not in DELIVERY_MODES:
        raise BadRequest(f"do must be one of {', '.join(DELIVERY_MODES)}")
    with tenant.lock:
        for target in [tenant] if "client" in params else tenant.vendors.tenants:
            target.delivery = mode
        held = list(tenant.vendors.held_notifications) if mode == "send" else []
        del tenant.vendors.held_notifications[: len(held)]
    return {"done": True, "sent_late": [send() for send in held]}


def points(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"minute": 200, "day": 3500}: the API points of the client's UIS account."""
    with tenant.lock:
        tenant.pbx.minute_limit = int(params.get("minute", 200))
        tenant.pbx.day_limit = int(params.get("day", 3500))
    return {"done": True}


def revoke(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"side": "uis"|"crm"}: the client's key becomes invalid."""
    with tenant.lock:
        if _side(params) == "uis":
            tenant.pbx.token_state = "blocked"
        elif not tenant.crm_account.key.startswith(_REVOKED_PREFIX):
            tenant.crm_account.key = _REVOKED_PREFIX + tenant.crm_account.key
    return {"done": True}


def restore(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"side": "uis"|"crm"}: the client's key is valid again."""
    with tenant.lock:
        if _side(params) == "uis":
            tenant.pbx.token_state = "valid"
        else:
            tenant.crm_account.key = tenant.crm_account.key.removeprefix(_REVOKED_PREFIX)
    return {"done": True}


FAULTS: dict[str, Callable[[SimulatedTenant, Params], dict[str, Any]]] = {
    "break": break_down,
    "repair": repair,
    "delay": delay,
    "cut": cut,
    "notices": set_delivery,
    "points": points,
    "revoke": revoke,
    "restore": restore,
}


def _add_delay(tenant: SimulatedTenant, params: Params, *, seconds: float, is_cut: bool = False) -> dict[str, Any]:
    client = tenant.client if "client" in params else None
    held = Delay(_side(params), seconds, str(params.get("part", "")), params.get("times"), client, is_cut)
    with tenant.lock:
        tenant.delays.append(held)
    return {"done": True}


def _side(params: Params) -> str:
    side = str(params.get("side"))
    if side not in SIDES:
        raise BadRequest(f"side must be one of {', '.join(SIDES)}")
    return side
