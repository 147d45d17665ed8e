"""From a ringing call to the request to the CRM that opens the pop-up: alone, beside a backlog, and beside a flood."""

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from statistics import median, quantiles
from urllib.parse import urlsplit

from tests.bench.figures import Figure
from tests.processes.installation import Installation
from tests.simulator.fixtures import IVAN, NUMBER

PORT = 18420
# variant -> its name, the targets of median and 99th percentile in milliseconds
VARIANTS = {"sqlite": ("SQLite", 50.0, 100.0), "redis": ("PostgreSQL + Redis", 15.0, 60.0)}
WORKERS = 4  # of each cluster, as installed
RINGS, PAUSE_SECONDS = 200, 0.05
TENANTS, RINGS_PER_SECOND, LOAD_SECONDS, UPLOADS = 200, 50, 8, 10_000
# Enough of the flood waits as long as the others ring, each so many times, at the pace of the light load.
FLOOD, OTHERS, RINGS_OF_OTHERS = 10_000, 50, 4
# What the flooding client is known for, in a minute: enough that its limit refuses nothing.
BUSIEST_MINUTE = FLOOD
SLOWDOWN = 1.5
SENDERS = 4


@dataclass(frozen=True)
class Ring:
    """One ringing phone of one client."""

    client: int
    session: int


def measure() -> Iterator[Figure]:
    """Measure both variants."""
    for variant in VARIANTS:
        yield from _measure(variant)


def _measure(variant: str) -> Iterator[Figure]:
    name, p50, p99 = VARIANTS[variant]
    is_large = variant == "redis"
    clients = 1 + (TENANTS if is_large else OTHERS)
    installation = Installation(PORT, is_shipped=True, variant=variant, clients=clients, workers=WORKERS)
    try:
        installation.set_up()
        hooks = installation.add_copies(clients)
        bench = _Bench(installation, hooks, name)
        bench.warm_up()
        light = bench.light()
        yield bench.figure("ring to CRM request, p50", median(light), target=p50)
        yield bench.figure("ring to CRM request, p99", _p99(light), target=p99)
        if is_large:
            loaded = bench.loaded()
            yield bench.compared(f"{RINGS_PER_SECOND} rings/s, {UPLOADS:,} uploads waiting, p99", loaded, light)
        alone, flooded = bench.alone(), bench.flooded()
        yield bench.compared(
            f"rings of {OTHERS} tenants beside a flood, p99", flooded, alone, limit="the same without it, p99"
        )
        lost = OTHERS * RINGS_OF_OTHERS - len(flooded)
        yield Figure(name="pop-ups lost beside a flood", variant=name, value=lost, unit="pop-ups", target=0)
    finally:
        installation.tear_down()


class _Bench:
    def __init__(self, installation: Installation, hooks: Sequence[str], variant: str) -> None:
        self._installation, self._hooks, self._variant = installation, hooks, variant
        self._sessions = itertools.count(7_000_000_000)

    def figure(self, name: str, value: float, *, target: float) -> Figure:
        return Figure(name=name, variant=self._variant, value=value, unit="ms", target=target)

    def compared(
        self, name: str, values: Sequence[float], light: Sequence[float], *, limit: str = "light load, p99"
    ) -> Figure:
        return Figure(
            name=name,
            variant=self._variant,
            value=_p99(values),
            unit="ms",
            limit=_p99(light),
            limit_name=limit,
            target=SLOWDOWN,
        )

    def warm_up(self) -> None:
        """Let each worker ring some times: what it reads once is no part of a ring."""
        self._send(self._rings([*range(OTHERS)] * WORKERS))
        time.sleep(3)

    def light(self) -> list[float]:
        """Ring now and then at one client."""
        return self._latencies(self._ring_in_turn([0] * RINGS), timeout=20)

    def alone(self) -> list[float]:
        """Ring now and then at each of the others; return their times."""
        return self._latencies(self._ring_in_turn(self._others()), timeout=20)

    def loaded(self) -> list[float]:
        """Ring at many clients while the workers drain a backlog."""
        self._installation.ask("store_ready", 0, UPLOADS)
        self._installation.ask("sweep")
        count = RINGS_PER_SECOND * LOAD_SECONDS
        rings = self._rings([1 + number % TENANTS for number in range(count)])
        self._send(rings, seconds=LOAD_SECONDS)
        return self._latencies(rings, timeout=30)

    def flooded(self) -> list[float]:
        """Do the same while one client's notifications wait. Raises RuntimeError unless some wait all the time."""
        self._installation.ask("set_busiest_minute", 0, BUSIEST_MINUTE)
        self._send(self._rings([0] * FLOOD))
        others = self._ring_in_turn(self._others())
        if not self._installation.ask("count_received", 0):
            raise RuntimeError("the flood has ended before the others have rung")
        return self._latencies(others, timeout=30)

    def _others(self) -> list[int]:
        return [*range(1, OTHERS + 1)] * RINGS_OF_OTHERS

    def _ring_in_turn(self, clients: Iterable[int]) -> list[Ring]:
        """Ring at one client after the other, with pauses."""
        rings = self._rings(clients)
        for ring in rings:
            self._post([ring])
            time.sleep(PAUSE_SECONDS * random.uniform(0.5, 1.5))
        return rings

    def _rings(self, clients: Iterable[int]) -> list[Ring]:
        return [Ring(client, next(self._sessions)) for client in clients]

    def _send(self, rings: Sequence[Ring], *, seconds: float = 0.0) -> None:
        """Post the rings from several threads, evenly within so many seconds, or as fast as they are taken."""
        started_at, interval = time.monotonic(), seconds / len(rings)

        def send(first: int) -> None:
            own = rings[first::SENDERS]
            due = [started_at + interval * number for number in range(first, len(rings), SENDERS)]
            self._post(own, due=due)

        threads = [threading.Thread(target=send, args=(first,)) for first in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _post(self, rings: Sequence[Ring], *, due: Sequence[float] = ()) -> None:
        address = urlsplit(self._hooks[0])
        with closing(http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)) as connection:
            for ring, at in itertools.zip_longest(rings, due, fillvalue=0.0):
                assert isinstance(ring, Ring)
                time.sleep(max(0.0, float(at) - time.monotonic()))
                path = urlsplit(self._hooks[ring.client]).path
                connection.request("POST", path, _body(ring), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"a notification was answered with {answer.status}")

    def _latencies(self, rings: Sequence[Ring], *, timeout: float) -> list[float]:
        """Return the milliseconds from each stored notification to its request, of those that arrive in time."""
        ends_at, wanted = time.monotonic() + timeout, {f"uis-{ring.session}" for ring in rings}
        while True:
            shown = {name: at for name, at in self._installation.events() if name in wanted}
            if len(shown) == len(wanted) or time.monotonic() > ends_at:
                break
            time.sleep(0.5)
        received = self._installation.ask("received", "waiting")
        return [
            1000 * (datetime.fromisoformat(at).timestamp() - received[name.removeprefix("uis-")])
            for name, at in shown.items()
        ]


def _body(ring: Ring) -> bytes:
    return json.dumps(
        {
            "event": "waiting",
            "call_session_id": ring.session,
            "contact_phone_number": f"7999{ring.session % 10_000_000:07d}",
            "virtual_phone_number": NUMBER,
            "direction": "in",
            "employee_id": IVAN,
        }
    ).encode()


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]
