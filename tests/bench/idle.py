"""What an installation uses while none of its thousand clients has a call: CPU of all processes but the vendors'.

The steady state of an hour is measured, not what a client costs once: before, each client was imported from UIS, linked
with the CRM and compared. All rounds begin before the time that is measured, so each recurring task has its part of
the period: not less, as a round runs through its clients in nine tenths of its period, and then rests.
"""

import time

from tests.bench.drain import used_by_part
from tests.bench.figures import Figure
from tests.processes.installation import Installation

PORT = 18480
VARIANT = "PostgreSQL + Redis"
CLIENTS = 1000
SETTLING_SECONDS, SECONDS = 15.0, 75.0
# Begun together, before the time that is measured.
ROUNDS = (
    *("telephony.reconcile_all", "telephony.sync_all", "telephony.close_all", "telephony.follow_up_recordings_all"),
    *("telephony.poll_all", "telephony.probe_all", "crm.probe_all", "crm.verify_uploads_all"),
    *("operations.run_checks_all", "operations.update_traffic_profiles"),
)


def measure() -> list[Figure]:
    """Add the clients with accounts of their own, begin all periodic work, and measure for a while."""
    installation = Installation(PORT, is_shipped=True, variant="redis", clients=CLIENTS)
    try:
        installation.set_up()
        installation.add_copies(CLIENTS)
        for task in ROUNDS:
            installation.ask("run", task)
        time.sleep(SETTLING_SECONDS)
        before, started_at = used_by_part(installation), time.monotonic()
        time.sleep(SECONDS)
        seconds = time.monotonic() - started_at
        used = {name: total - before[name] for name, total in used_by_part(installation).items()}
    finally:
        installation.tear_down()
    used.pop("simulator")
    parts = [_figure(f"1,000 idle clients, CPU of {name}", part / seconds) for name, part in sorted(used.items())]
    return [_figure("1,000 idle clients, CPU of all processes", sum(used.values()) / seconds, target=0.05), *parts]


def _figure(name: str, share: float, *, target: float | None = None) -> Figure:
    return Figure(name=name, variant=VARIANT, value=100 * share, unit="% of a core", target=target and 100 * target)
