"""Whether a second machine adds what the first one does, while the vendors are slow.

Both run here, so cores would be shared: the CRM takes half a second for each request, and the workers mostly wait. The
figure tells of locks and queues, not of cores.
"""

import time

from tests.bench.figures import Figure
from tests.processes.installation import Installation

PORT = 18460
VARIANT = "PostgreSQL + Redis"
CLIENTS, BATCHES, WARM_UP_BATCHES, BATCH = 8, 8, 1, 50
CRM_SECONDS = 0.5
TIMEOUT_SECONDS = 120.0


def measure() -> list[Figure]:
    """Upload the same backlog of several clients with one cluster of workers, then with two."""
    installation = Installation(PORT, is_shipped=True, variant="redis", clients=CLIENTS)
    try:
        installation.set_up()
        installation.add_copies(CLIENTS)
        for client in range(CLIENTS):
            installation.order("delay", side="crm", part="calls/upload", seconds=CRM_SECONDS, client=client)
        one = _warm_rate(installation)
        installation.start_worker("worker-2")
        time.sleep(3)  # until it takes tasks
        two = _warm_rate(installation)
    finally:
        installation.tear_down()
    return [
        Figure(
            name="two machines' workers with slow vendors",
            variant=VARIANT,
            value=two,
            unit="calls/s",
            limit=one,
            limit_name="one machine's",
            target=1.7,
            wanted="at least",
        )
    ]


def _warm_rate(installation: Installation) -> float:
    """Return the uploads per second of a new backlog, after a small one: what workers do once is no part of it."""
    _rate(installation, WARM_UP_BATCHES)
    return _rate(installation, BATCHES)


def _rate(installation: Installation, batches: int) -> float:
    for client in range(CLIENTS):
        installation.ask("store_ready", client, batches * BATCH)
    started_at = time.monotonic()
    installation.ask("sweep")
    installation.wait_for(
        lambda: not installation.ask("is_any_ready"), "the backlogs to drain", interval=0.1, timeout=TIMEOUT_SECONDS
    )
    return CLIENTS * batches * BATCH / (time.monotonic() - started_at)
