"""The pages of statistics with many calls, on PostgreSQL, compared with the newest page of the call log."""

from collections.abc import Iterator

from tests.bench.figures import Figure
from tests.bench.large_database import VARIANT, timed

CALL_LOG = "/admin/telephony/call/"
MAX_RATIO, MAX_MS = 3, 300.0


def measure_pages() -> Iterator[Figure]:
    """Measure the pages of all clients and of the largest one, of each period."""
    from django.test import Client

    from connector_project.operations.admin.statistics import PERIODS
    from tenants.models import User

    client = Client(headers={"host": "testserver"})
    client.force_login(User.objects.create_superuser("statistics"))
    for page, of in (("statistics/", "all clients"), ("1/statistics/", "the largest client")):
        for days in PERIODS:
            url = f"/admin/tenants/tenant/{page}?days={days}"
            if client.get(url).status_code != 200:
                raise RuntimeError(f"{url} is no page")
            took = timed(lambda url=url: client.get(url))  # type: ignore[misc]
            name = f"statistics of {of}, {days} days"
            yield Figure(
                name=name,
                variant=VARIANT,
                value=took,
                unit="ms",
                limit=timed(lambda: client.get(CALL_LOG)),
                limit_name="newest page of the call log",
                target=MAX_RATIO,
            )
            yield Figure(name=f"{name}: at most 300 ms", variant=VARIANT, value=took, unit="ms", target=MAX_MS)
