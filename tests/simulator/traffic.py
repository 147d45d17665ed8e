"""Many calls at once, of many clients: what a busy hour looks like to the connector."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.simulator import scenarios
from tests.simulator.fixtures import IVAN, PETR, World, Wrong

AT_ONCE = 4
KINDS: dict[str, dict[str, Any]] = {
    "missed": {"scene": "missed"},
    "answered": {"scene": "answered"},
    "transferred": {"scene": "answered", "talks": [[IVAN, 20], [PETR, 30]]},
    "outgoing": {"scene": "answered", "direction": "out", "employee": PETR},
}


def play(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    """{"clients": [0, 1], "kinds": ["missed", "answered", "transferred", "outgoing"], "times": 1, "pause": 0}.

    Four lines are busy at a time, and each rests for `pause` seconds after a call. Tells the sessions by client, and
    the notifications that the connector did not take.
    """
    worlds = world.vendors.worlds
    clients = [int(client) for client in asked.get("clients", range(len(worlds)))]
    kinds = [str(kind) for kind in asked.get("kinds", KINDS)] * int(asked.get("times", 1))
    if not {*kinds} <= {*KINDS} or not {*clients} <= {*range(len(worlds))}:
        raise Wrong(f"kinds are {', '.join(KINDS)}, clients are numbers below {len(worlds)}")
    pause = float(asked.get("pause", 0))
    calls = [(client, kind) for kind in kinds for client in clients]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        played = list(pool.map(lambda call: _call(worlds[call[0]], call[1], pause=pause), calls))
    sessions: dict[str, list[int]] = {str(client): [] for client in clients}
    for (client, _kind), one in zip(calls, played, strict=True):
        sessions[str(client)].append(one["session"])
    refused = [notice for one in played for notice in one["sent"] if notice["status"] != 200]
    return {"sessions": sessions, "calls": len(calls), "refused": refused}


def _call(world: World, kind: str, *, pause: float) -> dict[str, Any]:
    played = scenarios.play(world, KINDS[kind])
    threading.Event().wait(pause)
    return played
