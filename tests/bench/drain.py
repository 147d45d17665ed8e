"""How fast a backlog of one client drains, beside the CRM's limit and the CPU of this machine."""

import os
import time
from collections.abc import Mapping

import django

from tests.bench import process_cpu
from tests.bench.figures import Figure
from tests.processes.installation import Installation

BACKLOG, WARM_UP = 10_000, 1_000
PORT = 18420
VARIANT = "PostgreSQL + Redis"
TIMEOUT_SECONDS = 180.0


def measure() -> list[Figure]:
    """Upload a backlog with two clusters of workers to a CRM that counts the requests beyond its limits."""
    installation = Installation(PORT, is_shipped=True, variant="redis")
    try:
        installation.set_up()
        installation.start_worker("worker-2")
        _drain(installation, WARM_UP)  # What each process does once is no part of a backlog.
        uploaded = len(installation.vendors()[0]["calls"])
        sent, cpu = _count_uploads(installation), used_by_part(installation)
        seconds = _drain(installation, BACKLOG)
        cpu = {name: used - cpu[name] for name, used in used_by_part(installation).items()}
        account, requests = installation.vendors()[0], _count_uploads(installation) - sent
        per_request = (len(account["calls"]) - uploaded) / requests
        return _figures(account["over_limit"], seconds=seconds, per_request=per_request, cpu=cpu)
    finally:
        installation.tear_down()


def _drain(installation: Installation, count: int) -> float:
    """Store calls that are ready, and return the seconds from the sweep until all are uploaded."""
    installation.ask("store_ready", 0, count)
    started_at = time.monotonic()
    installation.ask("sweep")
    installation.wait_for(
        lambda: not installation.ask("is_any_ready"), "the backlog to drain", interval=0.05, timeout=TIMEOUT_SECONDS
    )
    return time.monotonic() - started_at


def used_by_part(installation: Installation) -> dict[str, float]:
    """Return the CPU seconds of each process of an installation, of the vendors and of both servers, so far."""
    roots = {child.name: child.process.pid for child in installation.children.running}
    for name, server in (("PostgreSQL", installation.postgres), ("Redis", installation.redis)):
        if server is not None and server.process is not None:
            roots[name] = server.process.pid
    return {name: process_cpu.used(pid) for name, pid in roots.items()}


def _figures(over_limit: int, *, seconds: float, per_request: float, cpu: Mapping[str, float]) -> list[Figure]:
    largest, per_second = _limits()
    crm_limit, rate = float(largest * per_second), BACKLOG / seconds
    # What the installation itself used, vendors included: another load of the machine is no excuse.
    cpu_limit = BACKLOG * (os.cpu_count() or 1) / sum(cpu.values())
    is_by_cpu = cpu_limit < crm_limit
    return [
        Figure(
            name="a backlog of 10,000 uploads",
            variant=VARIANT,
            value=rate,
            unit="calls/s",
            limit=min(crm_limit, cpu_limit),
            limit_name="the CPU of all processes, on every core" if is_by_cpu else "the CRM's limit",
            target=0.9,
            wanted="at least",
        ),
        Figure(
            name="the same, beside the CRM's limit",
            variant=VARIANT,
            value=rate,
            unit="calls/s",
            limit=crm_limit,
            limit_name=f"{largest} calls {per_second} times a second",
        ),
        Figure(
            name="calls in an upload request of a backlog",
            variant=VARIANT,
            value=per_request,
            unit="calls",
            limit=largest,
            limit_name="the CRM's limit",
            target=0.98,
            wanted="at least",
        ),
        Figure(
            name="upload requests over the CRM's limit",
            variant=VARIANT,
            value=float(over_limit),
            unit="requests",
            target=0,
        ),
        *(
            Figure(name=f"upload of {largest} calls, CPU of {name}", variant=VARIANT, value=1000 * part, unit="ms")
            for name, part in _per_batch(cpu, batches=BACKLOG / largest).items()
        ),
    ]


def _per_batch(cpu: Mapping[str, float], *, batches: float) -> dict[str, float]:
    workers = sum(used for name, used in cpu.items() if name.startswith("worker"))
    others = {"the vendors": cpu["simulator"], "PostgreSQL": cpu["PostgreSQL"], "Redis": cpu["Redis"]}
    return {name: used / batches for name, used in {"the workers": workers, **others}.items()}


def _limits() -> tuple[int, int]:
    """Return the largest batch, and the requests a second, as the product knows them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from crm.client_factory import PER_SECOND
    from crm.retailcrm.client import LARGEST_UPLOAD

    return LARGEST_UPLOAD, PER_SECOND["telephony"]


def _count_uploads(installation: Installation) -> int:
    counts: dict[str, int] = installation.state()["crm"]["requests"]["by"]
    return sum(count for name, count in counts.items() if name.endswith("calls/upload"))
