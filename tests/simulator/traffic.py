"""Many calls at the same time, of many clients."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.simulator import scenarios
from tests.simulator.fixtures import IVAN, PETR, BadRequest, SimulatedTenant

CONCURRENT_CALLS = 4
KINDS: dict[str, dict[str, Any]] = {
    "missed": {"scene": "missed"},
    "answered": {"scene": "answered"},
    "transferred": {"scene": "answered", "talks": [[IVAN, 20], [PETR, 30]]},
    "outgoing": {"scene": "answered", "direction": "out", "employee": PETR},
}


def play(tenant: SimulatedTenant, params: Mapping[str, Any]) -> dict[str, Any]:
    """{"clients": [0, 1], "kinds": ["missed", "answered", "transferred", "outgoing"], "times": 1, "pause": 0}.

    Four calls run at a time, each followed by a pause in seconds. Returns the sessions by client, and the notifications
    that the connector rejected.
    """
    tenants = tenant.vendors.tenants
    clients = [int(client) for client in params.get("clients", range(len(tenants)))]
    kinds = [str(kind) for kind in params.get("kinds", KINDS)] * int(params.get("times", 1))
    if not {*kinds} <= {*KINDS} or not {*clients} <= {*range(len(tenants))}:
        raise BadRequest(f"kinds are {', '.join(KINDS)}, clients are numbers below {len(tenants)}")
    pause = float(params.get("pause", 0))
    calls = [(client, kind) for kind in kinds for client in clients]
    with ThreadPoolExecutor(CONCURRENT_CALLS) as pool:
        results = list(pool.map(lambda call: _call(tenants[call[0]], call[1], pause=pause), calls))
    sessions: dict[str, list[int]] = {str(client): [] for client in clients}
    for (client, _kind), result in zip(calls, results, strict=True):
        sessions[str(client)].append(result["session"])
    refused = [notification for result in results for notification in result["sent"] if notification["status"] != 200]
    return {"sessions": sessions, "calls": len(calls), "refused": refused}


def _call(tenant: SimulatedTenant, kind: str, *, pause: float) -> dict[str, Any]:
    results = scenarios.play(tenant, KINDS[kind])
    threading.Event().wait(pause)
    return results
