"""Receiving webhooks, compared with a minimal view."""

import time

from tests.bench.figures import Figure
from tests.bench.load import call_ends, post_all
from tests.processes.installation import Installation

SECONDS = 8.0
PORT = 18400
# variant -> its name and target
VARIANTS = {"sqlite": ("SQLite", 0.4), "redis": ("PostgreSQL + Redis", 0.5)}


def measure() -> list[Figure]:
    """Measure both variants."""
    return [figure for variant in VARIANTS for figure in _measure(variant)]


def _measure(variant: str) -> list[Figure]:
    installation = Installation(PORT, variant=variant)
    try:
        installation.set_up()
        return _ingest(installation)
    finally:
        installation.tear_down()


def _ingest(installation: Installation) -> list[Figure]:
    """Post call_end notifications to the product, then to the minimal view."""
    hook = installation.hook()
    for name in ("worker", "worker-fast"):
        installation.kill(name)  # Only receiving is measured, not processing.
    bind = f"127.0.0.1:{installation.port + 2}"
    web = ("-m", "gunicorn", "tests.bench.bare", "--bind", bind, "--workers", "1")
    settings = {"DJANGO_SETTINGS_MODULE": "tests.bench.bare_settings"}
    installation.children.start("bare", *web, env=settings)
    time.sleep(3)
    secret = hook.rstrip("/").rsplit("/", 1)[1]
    limit, limit_p99 = post_all(f"http://{bind}/bare/{secret}/", call_ends(8_000_000_000), seconds=SECONDS)
    rate, p99 = post_all(hook, call_ends(9_000_000_000), seconds=SECONDS)
    variant, target = VARIANTS[installation.variant]
    return [
        Figure(
            name="received webhooks",
            variant=variant,
            value=rate,
            unit="/s",
            limit=limit,
            limit_name="minimal view",
            target=target,
            wanted="at least",
        ),
        Figure(
            name="answer to a webhook with 8 connections, p99",
            variant=variant,
            value=p99,
            unit="ms",
            limit=limit_p99,
            limit_name="minimal view",
            target=2,
        ),
    ]
