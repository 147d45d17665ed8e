"""What an installation uses while none of its thousand clients has a call: CPU of all processes but the vendors'.

The steady state of an hour is measured, not what a client costs once: each was imported from UIS, linked with the CRM,
compared and checked before. All rounds begin before the time that is measured, so each recurring task has its part of
the period: not less, as a round runs through its clients in nine tenths of its period, and then rests. What is done
every minute is done once in that time.

An installation with one client is measured before: what it uses are schedules, heartbeats and servers that wake up,
and how much that is tells most of the machine.
"""

import time

from tests.bench.drain import used_by_part
from tests.bench.figures import Figure
from tests.processes.installation import Installation

PORT = 18480
VARIANT = "PostgreSQL + Redis"
CLIENTS = 1000
SETTLING_SECONDS, SECONDS = 10.0, 60.0
SECONDS_OF_ONE_CLIENT = 20.0
# Begun together, before the time that is measured.
ROUNDS = (
    *("telephony.reconcile_all", "telephony.sync_all", "telephony.close_all", "telephony.follow_up_recordings_all"),
    *("telephony.poll_all", "telephony.probe_all", "crm.probe_all", "crm.verify_uploads_all"),
    *("operations.run_checks_all", "operations.update_traffic_profiles"),
)


def measure() -> list[Figure]:
    """Measure with one client, add the others, begin all periodic work, and measure again."""
    installation = Installation(PORT, is_shipped=True, variant="redis", clients=CLIENTS)
    try:
        installation.set_up()
        before = sum(_used(installation, seconds=SECONDS_OF_ONE_CLIENT).values())
        installation.add_copies(CLIENTS)
        for task in ROUNDS:
            installation.ask("run", task)
        used = _used(installation, seconds=SECONDS)
    finally:
        installation.tear_down()
    return [
        _figure("1,000 idle clients, CPU of all processes", sum(used.values()), target=0.05),
        *(_figure(f"1,000 idle clients, CPU of {name}", part) for name, part in sorted(used.items())),
        _figure("1 idle client, CPU of all processes", before),
    ]


def _used(installation: Installation, *, seconds: float) -> dict[str, float]:
    """Return the share of a core that each part uses, but the vendors, after what was begun has settled."""
    time.sleep(SETTLING_SECONDS)
    before, started_at = used_by_part(installation), time.monotonic()
    time.sleep(seconds)
    passed, after = time.monotonic() - started_at, used_by_part(installation)
    return {name: (after[name] - used) / passed for name, used in before.items() if name != "simulator"}


def _figure(name: str, share: float, *, target: float | None = None) -> Figure:
    return Figure(name=name, variant=VARIANT, value=100 * share, unit="% of a core", target=target and 100 * target)
