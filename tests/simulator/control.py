"""The control interface: scripts and tests drive the simulator with JSON."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.uis import EVENTS
from tests.simulator import scenes
from tests.simulator.state import state
from tests.simulator.world import SIDES, Delay, World, Wrong

Asked = Mapping[str, Any]


def carry_out(world: World, name: str, asked: Asked) -> dict[str, Any]:
    """Do what POST /control/{name} asks. Raises Wrong with a sentence."""
    order = ORDERS.get(name)
    if order is None:
        raise Wrong(f"there is no /control/{name}; there are: state (GET), {', '.join(ORDERS)} (POST)")
    return order(world, asked)


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


def break_down(world: World, asked: Asked) -> dict[str, Any]:
    """{"side": "uis"|"crm", "kind": "503", "times": 3, "method": … (uis), "path_part": …, "retry_after": … (crm)}."""
    about = {"times": asked.get("times")}
    try:
        with world.lock:
            if _side(asked) == "uis":
                world.uis.break_down(str(asked.get("kind")), method=asked.get("method"), **about)
            else:
                about |= {name: asked.get(name) for name in ("path_part", "retry_after")}
                world.crm.break_down(str(asked.get("kind")), **about)
    except ValueError as exc:
        raise Wrong(str(exc)) from exc
    return {"done": True}


def repair(world: World, _asked: Asked) -> dict[str, Any]:
    """Everything answers again, at once."""
    world.repair()
    return {"done": True}


def delay(world: World, asked: Asked) -> dict[str, Any]:
    """{"side": …, "seconds": 5, "part": "calls/upload", "times": 1}: carry requests out at once, answer them late."""
    try:
        late = Delay(_side(asked), float(asked.get("seconds", 0)), str(asked.get("part", "")), asked.get("times"))
    except (TypeError, ValueError) as exc:
        raise Wrong("seconds must be a number") from exc
    with world.lock:
        world.delays.append(late)
    return {"done": True}


def reset(world: World, _asked: Asked) -> dict[str, Any]:
    """Forget all calls, events and requests, and mend everything; people and the module stay."""
    world.forget()
    return state(world)


ORDERS: dict[str, Callable[[World, Asked], dict[str, Any]]] = {
    "connect": connect,
    "type": type_in,
    "play": scenes.play,
    "break": break_down,
    "repair": repair,
    "delay": delay,
    "reset": reset,
}


def _side(asked: Asked) -> str:
    side = str(asked.get("side"))
    if side not in SIDES:
        raise Wrong(f"side must be one of {', '.join(SIDES)}")
    return side
