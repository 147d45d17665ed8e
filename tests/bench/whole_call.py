"""What a whole call costs: CPU of all processes of an installation, in inserts of the minimal view.

Each call has two rings, six notifications, two pop-ups, which are closed, legs and an upload. The vendors' processes
and the databases do not count; what the databases use is told beside.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2

from tests.bench import process_cpu
from tests.bench.figures import Figure
from tests.bench.load import call_ends, post_all
from tests.processes.installation import Installation
from tests.simulator.fixtures import IVAN, PETR

PORT = 18440
VARIANT = "PostgreSQL + Redis"
CLIENTS, ROUNDS, WARM_UP_ROUNDS = 10, 30, 4
BARE_SECONDS = 6.0
# The product's processes, as the table calls them.
PROCESSES = {"web": "web", "worker": "worker", "worker-fast": "fast worker"}
TALK_SECONDS = 1
TARGET = 60


def measure() -> list[Figure]:
    """Measure the minimal view and the calls in one run."""
    installation = Installation(PORT, is_shipped=True, variant="redis", clients=CLIENTS)
    try:
        installation.set_up()
        installation.add_copies(CLIENTS)
        # No call waits for a recording.
        _execute(
            installation, "UPDATE tenants_ruleversion SET rules = jsonb_set(rules, '{recording_link}', '\"OURS\"')"
        )
        _play(installation, rounds=WARM_UP_ROUNDS)
        per_call = _per_call(installation)
        # Last: for the product, so many notifications are a flood.
        bare = _bare_insert(installation)
    finally:
        installation.tear_down()
    return list(_figures(per_call, bare))


def _figures(per_call: Mapping[str, float], bare: float) -> Iterable[Figure]:
    own = sum(per_call[name] for name in PROCESSES)
    yield _figure("a whole call, CPU of all processes", own, bare, target=TARGET)
    for name, shown in PROCESSES.items():
        yield _figure(f"a whole call, CPU of {shown}", per_call[name], bare)
    for name in ("PostgreSQL", "Redis"):
        yield _figure(f"a whole call, CPU of {name}", per_call[name], bare)


def _figure(name: str, seconds: float, bare: float, *, target: float | None = None) -> Figure:
    return Figure(
        name=name,
        variant=VARIANT,
        value=1000 * seconds,
        unit="ms",
        limit=1000 * bare,
        limit_name="minimal view, one insert",
        target=target,
    )


def _bare_insert(installation: Installation) -> float:
    """Return the CPU seconds of the minimal view's web process for one insert."""
    bind = f"127.0.0.1:{installation.port + 2}"
    secret = installation.hook().rstrip("/").rsplit("/", 1)[1]
    options = ("-m", "gunicorn", "tests.bench.bare", "--bind", bind, "--workers", "1")
    server = installation.children.start("bare", *options, env={"DJANGO_SETTINGS_MODULE": "tests.bench.bare_settings"})
    time.sleep(3)
    url = f"http://{bind}/bare/{secret}/"
    post_all(url, call_ends(8_000_000_000), seconds=1.0)
    before = process_cpu.used(server.process.pid)
    rate, _p99 = post_all(url, call_ends(8_100_000_000), seconds=BARE_SECONDS)
    seconds = process_cpu.used(server.process.pid) - before
    installation.kill("bare")
    return seconds / (rate * BARE_SECONDS)


def _per_call(installation: Installation) -> dict[str, float]:
    """Return the CPU seconds of each process for one call."""
    before = _cpu(installation)
    _play(installation, rounds=ROUNDS)
    after = _cpu(installation)
    return {name: (after[name] - before[name]) / (CLIENTS * ROUNDS) for name in after}


def _cpu(installation: Installation) -> dict[str, float]:
    pids = {name: installation.child(name).process.pid for name in PROCESSES}
    for name, server in (("PostgreSQL", installation.postgres), ("Redis", installation.redis)):
        assert server is not None
        assert server.process is not None
        pids[name] = server.process.pid
    return {name: process_cpu.used(pid) for name, pid in pids.items()}


def _play(installation: Installation, *, rounds: int) -> None:
    """Play calls of all clients at the same time, one of each after the other; wait until all are in the CRM."""
    installation.order("reset")
    with ThreadPoolExecutor(CLIENTS) as pool:
        for number in range(1, rounds + 1):
            _give_slots(installation)
            list(pool.map(lambda client: _call(installation, client), range(CLIENTS)))
            installation.wait_for(_uploaded(installation, CLIENTS * number), "the calls to be uploaded", interval=0.02)


def _call(installation: Installation, client: int) -> None:
    rung = installation.play("ring", client=client, employees=[IVAN, PETR])
    common = {"client": client, "session": rung["session"]}
    installation.play("answer", employee=IVAN, **common)
    installation.play("end", talk=TALK_SECONDS, recorded=False, **common)


def _uploaded(installation: Installation, count: int) -> Callable[[], bool]:
    return lambda: sum(len(client["calls"]) for client in installation.vendors()) >= count


def _give_slots(installation: Installation) -> None:
    """Let the legs of each call be fetched alone: in a busy hour calls of a client share a request."""
    _execute(installation, "UPDATE tenants_uisconnection SET legs_slot_at = NULL")


def _execute(installation: Installation, statement: str) -> None:
    assert installation.postgres is not None
    with closing(psycopg2.connect(installation.postgres.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
