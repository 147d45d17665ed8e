"""`make bench`: webhook throughput and pop-up latency, on SQLite, and on PostgreSQL with Redis."""

import json
import os
import sys
import time
from datetime import datetime
from statistics import median, quantiles

import django

from tests.bench import ingest, pools
from tests.bench.figures import table
from tests.processes.installation import Installation
from tests.simulator.fixtures import IVAN
from tests.simulator.processes import EnvironmentFailure

RINGS = 200
BACKLOG = 10_000
PORT = 18400


def main() -> int:
    """Benchmark both variants; print one JSON line per result."""
    for variant in ("sqlite", "redis"):
        installation = Installation(PORT, variant=variant)
        try:
            installation.set_up()
            _print_result(variant, "popup_latency_ms", **_popup_latency(installation))
            if variant == "redis":
                _print_result(variant, "drain", **_drain(installation))
        except EnvironmentFailure as exc:
            print(exc, file=sys.stderr)  # noqa: T201 -- for the terminal
            return 1
        finally:
            installation.tear_down()
    print(table([*ingest.measure(), *pools.measure()]))  # noqa: T201 -- for the terminal
    return 0


def _popup_latency(installation: Installation) -> dict[str, float]:
    """Play ringing calls; return the times from the stored notification to the CRM's event."""
    installation.order("reset")
    for _ring in range(RINGS):
        installation.play("ring", employees=[IVAN])
        time.sleep(0.02)
    installation.until(lambda state: len(state["crm"]["events"]) >= RINGS, "all pop-ups")
    received = installation.ask("received", "waiting")
    durations = sorted(
        1000
        * (datetime.fromisoformat(event["at"]).timestamp() - received[event["callExternalId"].removeprefix("uis-")])
        for event in installation.state()["crm"]["events"]
    )
    p99 = quantiles(durations, n=100)[98]
    return {"median": round(median(durations), 1), "p99": round(p99, 1), "worst": round(durations[-1], 1)}


def _drain(installation: Installation) -> dict[str, float]:
    """Upload a backlog to a CRM with its rate limits; return the time, and the minimum that the limits allow."""
    installation.order("reset")
    installation.ask("store_ready", 0, BACKLOG)
    installation.start_worker("worker-2")
    before = _requests(installation)
    installation.ask("sweep")
    started_at = time.monotonic()
    installation.wait_for(
        lambda: installation.ask("count_states").get("READY", 0) == 0, "the backlog to drain", interval=0.2
    )
    seconds, limit = time.monotonic() - started_at, _allowed_seconds()
    account = installation.vendors()[0]
    return {
        "calls": len(account["calls"]),
        "requests": _requests(installation) - before,
        "over_limit": account["over_limit"],
        "seconds": round(seconds, 1),
        "limit_seconds": limit,
        "ratio": round(limit / seconds, 2),
    }


def _allowed_seconds() -> float:
    """Return the minimum time for the backlog under the CRM's rate limits, as the product knows them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from crm.client_factory import PER_SECOND
    from crm.retailcrm.client import LARGEST_UPLOAD

    return BACKLOG / LARGEST_UPLOAD / PER_SECOND["telephony"]


def _requests(installation: Installation) -> int:
    counts: dict[str, int] = installation.state()["crm"]["requests"]["by"]
    return sum(count for name, count in counts.items() if name.endswith("calls/upload"))


def _print_result(variant: str, what: str, **values: float) -> None:
    print(json.dumps({"on": variant, "what": what, **values}), flush=True)  # noqa: T201 -- for the terminal


if __name__ == "__main__":
    sys.exit(main())
