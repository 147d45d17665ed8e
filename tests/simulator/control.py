"""The control interface: scripts and tests drive the simulator with JSON."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.uis import EVENTS
from tests.simulator import scenarios, traffic
from tests.simulator.faults import FAULTS
from tests.simulator.fixtures import BadRequest, SimulatedTenant
from tests.simulator.state import state

Params = Mapping[str, Any]


def execute(tenant: SimulatedTenant, name: str, params: Params) -> dict[str, Any]:
    """Execute POST /control/{name} for the client given by number, or the first one. Raises BadRequest."""
    command = COMMANDS.get(name)
    if command is None:
        raise BadRequest(
            f"unknown command /control/{name}; use state, calls_by_client, events (GET), {', '.join(COMMANDS)} (POST)"
        )
    return command(find_tenant(tenant, params), params)


def find_tenant(tenant: SimulatedTenant, params: Params) -> SimulatedTenant:
    """Return the client given by number. Raises BadRequest for an unknown one."""
    tenants = tenant.vendors.tenants
    number = str(params.get("client", tenant.client))
    if not number.isdecimal() or int(number) >= len(tenants):
        raise BadRequest(f"client must be a number below {len(tenants)}")
    return tenants[int(number)]


def connect(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"hook": URL}: where the connector receives UIS's notifications."""
    hook = str(params.get("hook", ""))
    if urlsplit(hook).scheme not in {"http", "https"} or not urlsplit(hook).hostname:
        raise BadRequest("hook must be the URL `notifications` that add_tenant prints")
    tenant.hook = hook
    tenant.templates.clear()
    return {"done": True}


def copy_connection(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"copies": [[client, hook URL, {text: other text}], …]}: this client's module for others, with own secrets."""
    with tenant.lock:
        modules = json.dumps(tenant.crm_account.modules)
        for client, hook, own in params.get("copies", []):
            other = find_tenant(tenant, {"client": client})
            text = modules
            for name, value in own.items():
                text = text.replace(name, value)
            other.hook, other.crm_account.modules = str(hook), json.loads(text)
    return {"done": True}


def set_template(tenant: SimulatedTenant, params: Params) -> dict[str, Any]:
    """{"event": "waiting", "address": URL, "body": template}: one HTTP notification, as entered in UIS."""
    event, address = str(params.get("event", "")), str(params.get("address", ""))
    if event not in EVENTS or urlsplit(address).scheme not in {"http", "https"}:
        raise BadRequest(f"event must be one of {', '.join(EVENTS)}, and address an http(s) URL")
    with tenant.lock:
        tenant.templates[event] = (address, str(params.get("body", "")))
    return {"done": True, "typed": sorted(tenant.templates)}


def reset(tenant: SimulatedTenant, _params: Params) -> dict[str, Any]:
    """Delete all calls, events and requests, and remove all faults; employees and modules stay."""
    tenant.vendors.reset()
    return state(tenant)


def clear(tenant: SimulatedTenant, _params: Params) -> dict[str, Any]:
    """Reset, and remove all integration modules: no client is connected any more."""
    tenant.vendors.reset()
    for one in tenant.vendors.tenants:
        one.crm_account.modules.clear()
    return state(tenant)


COMMANDS: dict[str, Callable[[SimulatedTenant, Params], dict[str, Any]]] = {
    "connect": connect,
    "copy": copy_connection,
    "type": set_template,
    "play": scenarios.play,
    "traffic": traffic.play,
    **FAULTS,
    "reset": reset,
    "clear": clear,
}
