"""Uploading a backlog to a CRM with its rate limits."""

import os
import time

import django

from tests.bench.figures import Figure
from tests.processes.installation import Installation

BACKLOG = 10_000
PORT = 18440


def measure() -> list[Figure]:
    """Measure on PostgreSQL and Redis."""
    installation = Installation(PORT, variant="redis")
    try:
        installation.set_up()
        seconds = _drain(installation)
    finally:
        installation.tear_down()
    return [
        Figure(
            name="a backlog of 10,000 uploads",
            variant="PostgreSQL + Redis",
            value=BACKLOG / seconds,
            unit="calls/s",
            limit=BACKLOG / _allowed_seconds(),
            limit_name="the CRM's limit",
            target=0.9,
            wanted="at least",
        )
    ]


def _drain(installation: Installation) -> float:
    """Upload the backlog; return the seconds that it took."""
    installation.order("reset")
    installation.ask("store_ready", 0, BACKLOG)
    installation.start_worker("worker-2")
    installation.ask("sweep")
    started_at = time.monotonic()
    installation.wait_for(
        lambda: installation.ask("count_states").get("READY", 0) == 0, "the backlog to drain", interval=0.2
    )
    return time.monotonic() - started_at


def _allowed_seconds() -> float:
    """Return the minimum time for the backlog under the CRM's rate limits, as the product knows them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from crm.client_factory import PER_SECOND
    from crm.retailcrm.client import LARGEST_UPLOAD

    return BACKLOG / LARGEST_UPLOAD / PER_SECOND["telephony"]
