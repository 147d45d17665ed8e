"""The control interface: scripts and tests drive the simulator with JSON."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.uis import EVENTS
from tests.simulator import scenarios, traffic
from tests.simulator.faults import FAULTS
from tests.simulator.fixtures import World, Wrong
from tests.simulator.state import state

Asked = Mapping[str, Any]


def carry_out(world: World, name: str, asked: Asked) -> dict[str, Any]:
    """Do what POST /control/{name} asks, of the client it names, else of the first. Raises Wrong with a sentence."""
    order = ORDERS.get(name)
    if order is None:
        raise Wrong(f"there is no /control/{name}; there are: state, ledger (GET), {', '.join(ORDERS)} (POST)")
    return order(world_of(world, asked), asked)


def world_of(world: World, asked: Asked) -> World:
    """Return the world of the client who is named by his number. Raises Wrong for one who is not there."""
    worlds = world.vendors.worlds
    number = str(asked.get("client", world.client))
    if not number.isdecimal() or int(number) >= len(worlds):
        raise Wrong(f"client must be a number below {len(worlds)}")
    return worlds[int(number)]


def connect(world: World, asked: Asked) -> dict[str, Any]:
    """{"hook": address}: where the connector takes UIS's notifications."""
    hook = str(asked.get("hook", ""))
    if urlsplit(hook).scheme not in {"http", "https"} or not urlsplit(hook).hostname:
        raise Wrong("hook must be the address `notifications` that add_tenant prints")
    world.hook = hook
    world.typed.clear()
    return {"done": True}


def type_in(world: World, asked: Asked) -> dict[str, Any]:
    """{"event": "waiting", "address": …, "body": template}: one HTTP notification, as a person types it into UIS."""
    event, address = str(asked.get("event", "")), str(asked.get("address", ""))
    if event not in EVENTS or urlsplit(address).scheme not in {"http", "https"}:
        raise Wrong(f"event must be one of {', '.join(EVENTS)}, and address an http(s) address")
    with world.lock:
        world.typed[event] = (address, str(asked.get("body", "")))
    return {"done": True, "typed": sorted(world.typed)}


def reset(world: World, _asked: Asked) -> dict[str, Any]:
    """Forget all calls, events and requests, and mend everything; people and the modules stay."""
    world.vendors.forget()
    return state(world)


ORDERS: dict[str, Callable[[World, Asked], dict[str, Any]]] = {
    "connect": connect,
    "type": type_in,
    "play": scenarios.play,
    "traffic": traffic.play,
    **FAULTS,
    "reset": reset,
}
