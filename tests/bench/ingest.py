"""Receiving webhooks, compared with the minimal view in the same run, by turns: the machine is not alone."""

from statistics import median
from typing import Literal

from tests.bench.figures import Figure
from tests.bench.load import Load, call_ends, send
from tests.bench.web_pools import BARE, PRODUCT, VARIANTS, Pool, start, web_server
from tests.processes.web_server import WebServer

ROUNDS, SECONDS = 5, 3.0
CONNECTIONS = 8
LIMIT = "minimal view"
# variant -> the least part of the minimal view's rate
TARGETS = {"sqlite": 0.4, "redis": 0.5}


def measure() -> list[Figure]:
    """Measure both variants."""
    found = []
    for variant in VARIANTS:
        with web_server(variant) as server:
            found += _measure(variant, *_pools(server))
    return found


def _pools(server: WebServer) -> tuple[Pool, Pool]:
    secret = server.hook.rstrip("/").rpartition("/")[2]
    bare = start(server.children, "bare", f"/bare/{secret}/", app=BARE)
    return bare, start(server.children, "web", server.hook, app=PRODUCT)


def _measure(variant: str, bare: Pool, web: Pool) -> list[Figure]:
    """Send to both by turns; the figures are the medians of the turns."""
    turns = [(_turn(bare, 2 * number), _turn(web, 2 * number + 1)) for number in range(ROUNDS)]
    limits, values = ([turn[which] for turn in turns] for which in (0, 1))
    rates, cpus, p99s = (
        [median(one[column] for one in side) for side in (values, limits)] for column in range(len(values[0]))
    )
    name, target = VARIANTS[variant], TARGETS[variant]
    return [
        _figure("received webhooks", name, rates, "/s", target=target, wanted="at least"),
        _figure("CPU of the web process per webhook", name, cpus, "ms"),
        _figure(f"answer to a webhook with {CONNECTIONS} connections, p99", name, p99s, "ms", target=2.0),
    ]


def _turn(pool: Pool, number: int) -> tuple[float, float, float]:
    """Return requests a second, milliseconds of CPU for each, and the 99th percentile of their durations."""
    before = pool.cpu_seconds()
    load: Load = send(
        pool.port, pool.path, call_ends(8_000_000_000 + number * 10_000_000), seconds=SECONDS, connections=CONNECTIONS
    )
    cpu = pool.cpu_seconds() - before
    return load.per_second, 1000 * cpu / len(load.durations), load.percentile_ms(99)


def _figure(
    name: str,
    variant: str,
    values: list[float],
    unit: str,
    *,
    target: float | None = None,
    wanted: Literal["at least", "at most"] = "at most",
) -> Figure:
    value, limit = values
    return Figure(
        name=name,
        variant=variant,
        value=value,
        unit=unit,
        limit=limit,
        limit_name=LIMIT,
        target=target,
        wanted=wanted,
    )
