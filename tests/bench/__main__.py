"""`make bench`: ingest against a bare view, and ring to card; on SQLite, and on PostgreSQL with Redis."""

import json
import os
import sys
import time
from datetime import datetime
from statistics import median, quantiles

import django

from tests.bench.load import ends, post_all
from tests.processes.installation import Plant
from tests.simulator.fixtures import IVAN
from tests.simulator.processes import Stopped

RINGS = 200
BACKLOG = 10_000
SECONDS = 8.0
PORT = 18400


def main() -> int:
    """Measure both set-ups and print one JSON line each."""
    for variant in ("sqlite", "redis"):
        plant = Plant(PORT, variant=variant)
        try:
            plant.set_up()
            _print(variant, "ring_to_card_ms", **_rings(plant))
            if variant == "redis":
                _print(variant, "drain", **_drain(plant))
            _print(variant, "ingest", **_ingest(plant))
        except Stopped as exc:
            print(exc, file=sys.stderr)  # noqa: T201 -- for the terminal
            return 1
        finally:
            plant.tear_down()
    return 0


def _rings(plant: Plant) -> dict[str, float]:
    """Let phones ring one after the other; return the time from the stored notification to the CRM's event."""
    plant.order("reset")
    for _ring in range(RINGS):
        plant.play("ring", employees=[IVAN])
        time.sleep(0.02)
    plant.until(lambda state: len(state["crm"]["events"]) >= RINGS, "all cards")
    received = plant.ask("received", "waiting")
    taken = sorted(
        1000
        * (datetime.fromisoformat(event["at"]).timestamp() - received[event["callExternalId"].removeprefix("uis-")])
        for event in plant.state()["crm"]["events"]
    )
    p99 = quantiles(taken, n=100)[98]
    return {"median": round(median(taken), 1), "p99": round(p99, 1), "worst": round(taken[-1], 1)}


def _drain(plant: Plant) -> dict[str, float]:
    """Let a backlog go to a CRM that keeps its limits; return the time beside what those limits allow."""
    plant.order("reset")
    plant.ask("store_ready", 0, BACKLOG)
    plant.start_worker("worker-2")
    before = _requests(plant)
    plant.ask("sweep")
    began = time.monotonic()
    plant.wait_for(lambda: plant.ask("count_states").get("READY", 0) == 0, "the backlog to drain", every=0.2)
    seconds, limit = time.monotonic() - began, _allowed_seconds()
    said = plant.vendors()[0]
    return {
        "calls": len(said["calls"]),
        "requests": _requests(plant) - before,
        "over_limit": said["over_limit"],
        "seconds": round(seconds, 1),
        "limit_seconds": limit,
        "ratio": round(limit / seconds, 2),
    }


def _allowed_seconds() -> float:
    """Return how long the backlog takes at least under the CRM's limits, as the product knows them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from crm.client_factory import PER_SECOND
    from crm.retailcrm.client import LARGEST_UPLOAD

    return BACKLOG / LARGEST_UPLOAD / PER_SECOND["telephony"]


def _requests(plant: Plant) -> int:
    by: dict[str, int] = plant.state()["crm"]["requests"]["by"]
    return sum(count for name, count in by.items() if name.endswith("calls/upload"))


def _ingest(plant: Plant) -> dict[str, float]:
    """Post ends of calls to the product and to the bare view in turn; return the ratio of their rates."""
    hook = plant.hook()
    for name in ("worker", "worker-fast"):
        plant.kill(name)  # What is measured is taking in, not working off.
    bind = f"127.0.0.1:{plant.port + 2}"
    web = ("-m", "gunicorn", "tests.bench.bare", "--bind", bind, "--worker-class", "gthread", "--threads", "8")
    settings = {"DJANGO_SETTINGS_MODULE": "tests.bench.bare_settings"}
    plant.children.start("bare", *web, "--no-control-socket", env=settings)
    time.sleep(3)
    secret = hook.rstrip("/").rsplit("/", 1)[1]
    limit, _ = post_all(f"http://{bind}/bare/{secret}/", ends(8_000_000_000), seconds=SECONDS)
    ours, p99 = post_all(hook, ends(9_000_000_000), seconds=SECONDS)
    return {
        "per_second": round(ours),
        "bare_per_second": round(limit),
        "ratio": round(ours / limit, 2),
        "p99_ms": round(p99),
    }


def _print(variant: str, what: str, **figures: float) -> None:
    print(json.dumps({"on": variant, "what": what, **figures}), flush=True)  # noqa: T201 -- for the terminal


if __name__ == "__main__":
    sys.exit(main())
