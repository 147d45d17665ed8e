"""From a ringing call to the request to the CRM that opens the pop-up."""

import time
from datetime import datetime
from statistics import median, quantiles

from tests.bench.figures import Figure
from tests.processes.installation import Installation
from tests.simulator.fixtures import IVAN

RINGS = 200
PORT = 18420
# variant -> its name, the targets of median and 99th percentile in milliseconds
VARIANTS = {"sqlite": ("SQLite", 50.0, 100.0), "redis": ("PostgreSQL + Redis", 15.0, 60.0)}


def measure() -> list[Figure]:
    """Measure both variants."""
    return [figure for variant in VARIANTS for figure in _measure(variant)]


def _measure(variant: str) -> list[Figure]:
    installation = Installation(PORT, variant=variant)
    try:
        installation.set_up()
        durations = _popup_latency(installation)
    finally:
        installation.tear_down()
    name, p50, p99 = VARIANTS[variant]
    return [
        Figure(name="ring to CRM request, p50", variant=name, value=median(durations), unit="ms", target=p50),
        Figure(
            name="ring to CRM request, p99",
            variant=name,
            value=quantiles(durations, n=100)[98],
            unit="ms",
            target=p99,
        ),
    ]


def _popup_latency(installation: Installation) -> list[float]:
    """Play ringing calls; return the times from the stored notification to the CRM's event in milliseconds."""
    installation.order("reset")
    for _ring in range(RINGS):
        installation.play("ring", employees=[IVAN])
        time.sleep(0.02)
    installation.until(lambda state: len(state["crm"]["events"]) >= RINGS, "all pop-ups")
    received = installation.ask("received", "waiting")
    return [
        1000
        * (datetime.fromisoformat(event["at"]).timestamp() - received[event["callExternalId"].removeprefix("uis-")])
        for event in installation.state()["crm"]["events"]
    ]
