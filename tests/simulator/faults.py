"""Orders that put the vendors out of order, and in order again: for all clients, or for one."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.simulator.fixtures import SIDES, Delay, World, Wrong

Asked = Mapping[str, Any]
NOTICES = ("send", "hold", "drop")
_NO_KEY = "revoked"


def break_down(world: World, asked: Asked) -> dict[str, Any]:
    """{"side": "uis"|"crm", "kind": "503", "times": 3, "method": … (uis), "path_part": …, "retry_after": … (crm)}."""
    about, is_one = {"times": asked.get("times")}, "client" in asked
    try:
        with world.lock:
            if _side(asked) == "uis":
                about |= {"method": asked.get("method"), "token": world.pbx.token if is_one else None}
                world.uis.break_down(str(asked.get("kind")), **about)
            else:
                about |= {name: asked.get(name) for name in ("path_part", "retry_after")}
                about |= {"host": world.shop.host if is_one else None}
                world.crm.break_down(str(asked.get("kind")), **about)
    except ValueError as exc:
        raise Wrong(str(exc)) from exc
    return {"done": True}


def repair(world: World, _asked: Asked) -> dict[str, Any]:
    """Everything answers again, at once."""
    world.vendors.repair()
    return {"done": True}


def delay(world: World, asked: Asked) -> dict[str, Any]:
    """{"side": …, "seconds": 5, "part": "calls/upload", "times": 1}: carry requests out at once, answer them late."""
    try:
        seconds = float(asked.get("seconds", 0))
    except (TypeError, ValueError) as exc:
        raise Wrong("seconds must be a number") from exc
    return _hold_back(world, asked, seconds=seconds)


def cut(world: World, asked: Asked) -> dict[str, Any]:
    """{"side": …, "part": "calls/upload", "times": 1}: carry requests out, and break the line instead of answering."""
    return _hold_back(world, asked, seconds=0.0, is_cut=True)


def notices(world: World, asked: Asked) -> dict[str, Any]:
    """{"do": "hold"|"drop"|"send"}: what UIS does with its notifications; `send` also sends what it held back."""
    wanted = str(asked.get("do"))
    if wanted not in NOTICES:
        raise Wrong(f"do must be one of {', '.join(NOTICES)}")
    with world.lock:
        for one in [world] if "client" in asked else world.vendors.worlds:
            one.notices = wanted
        late = list(world.vendors.held) if wanted == "send" else []
        del world.vendors.held[: len(late)]
    return {"done": True, "sent_late": [send() for send in late]}


def points(world: World, asked: Asked) -> dict[str, Any]:
    """{"minute": 200, "day": 3500}: how many points the client's UIS account has."""
    with world.lock:
        world.pbx.minute_limit = int(asked.get("minute", 200))
        world.pbx.day_limit = int(asked.get("day", 3500))
    return {"done": True}


def revoke(world: World, asked: Asked) -> dict[str, Any]:
    """{"side": "uis"|"crm"}: the client's key is not known any more."""
    with world.lock:
        if _side(asked) == "uis":
            world.pbx.token_state = "blocked"
        elif not world.shop.key.startswith(_NO_KEY):
            world.shop.key = _NO_KEY + world.shop.key
    return {"done": True}


def restore(world: World, asked: Asked) -> dict[str, Any]:
    """{"side": "uis"|"crm"}: the client's key is known again."""
    with world.lock:
        if _side(asked) == "uis":
            world.pbx.token_state = "valid"
        else:
            world.shop.key = world.shop.key.removeprefix(_NO_KEY)
    return {"done": True}


FAULTS: dict[str, Callable[[World, Asked], dict[str, Any]]] = {
    "break": break_down,
    "repair": repair,
    "delay": delay,
    "cut": cut,
    "notices": notices,
    "points": points,
    "revoke": revoke,
    "restore": restore,
}


def _hold_back(world: World, asked: Asked, *, seconds: float, is_cut: bool = False) -> dict[str, Any]:
    client = world.client if "client" in asked else None
    late = Delay(_side(asked), seconds, str(asked.get("part", "")), asked.get("times"), client, is_cut)
    with world.lock:
        world.delays.append(late)
    return {"done": True}


def _side(asked: Asked) -> str:
    side = str(asked.get("side"))
    if side not in SIDES:
        raise Wrong(f"side must be one of {', '.join(SIDES)}")
    return side
