"""The call log with many calls, on PostgreSQL: the query of each page is compared with an index-only query."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.bench.figures import Figure
from tests.bench.large_database import INDEX_ONLY, VARIANT, run, timed

if TYPE_CHECKING:
    from django.test import Client

PAGE = "/admin/telephony/call/"


def _queries() -> dict[str, dict[str, str]]:
    from telephony.models import Call

    # The encrypted columns hold no valid data.
    plain = Call.objects.only("session_id", "contact", "number", "started_at")
    sample = plain.order_by("-started_at")[plain.count() // 10]
    rare = str(Call.objects.order_by("tenant_id").values_list("tenant_id", flat=True).last())
    middle = plain.filter(pk__gte=plain.count() // 2).order_by("pk")[0]
    return {
        "newest": {},
        "deep page": {"after": f"{middle.started_at.isoformat()}_{middle.pk}"},
        "full number": {"q": f"+{sample.contact}"},
        "formatted number": {"q": f"8 ({sample.contact[1:4]}) {sample.contact[4:]}"},
        "last seven digits": {"q": sample.contact[-7:]},
        "last four digits": {"q": sample.contact[-4:]},
        "session": {"q": str(sample.session_id)},
        "employee": {"q": "сотрудник 7-3"},
        "extension": {"q": "105"},
        "client": {"tenant__id__exact": "5"},
        "small client": {"tenant__id__exact": rare},
        "day": {"day": f"{sample.started_at:%Y-%m-%d}"},
        "client and day": {"tenant__id__exact": "5", "day": f"{sample.started_at:%Y-%m-%d}"},
        "missed": {"outcome": "missed"},
        "client's missed": {"tenant__id__exact": "5", "outcome": "missed"},
        "failed": {"status": "failed"},
        "waiting": {"status": "waiting"},
        "skipped": {"status": "SKIPPED"},
        "rare client's failed": {"tenant__id__exact": rare, "status": "failed"},
        "reason": {"reason": "CRM_REFUSED"},
        "unused reason": {"reason": "INTERNAL_ERROR"},
        "rule": {"rule": "CONTACT"},
        "our number": {"number": sample.number},
        "without a recording": {"recording": "no"},
        "nothing found": {"q": "+70000000000"},
    }


def measure_pages() -> Iterator[Figure]:
    """Measure each view and filter of the list."""
    from django.test import Client

    from tenants.models import User

    client = Client(headers={"host": "testserver"})
    client.force_login(User.objects.create_superuser("call-log"))
    client.get(PAGE)
    for name, params in _queries().items():
        yield from _figures(client, name, params)


def _figures(client: "Client", name: str, params: dict[str, str]) -> Iterator[Figure]:
    """Measure the query of the list against an index-only query, and the whole page against the target."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        client.get(PAGE, params)
    list_query = max((query["sql"] for query in queries), key=lambda sql: 'FROM "telephony_call"' in sql)
    yield Figure(
        name=f"call log: query of “{name}”",
        variant=VARIANT,
        value=timed(lambda: run(list_query)),
        unit="ms",
        limit=timed(lambda: run(INDEX_ONLY)),
        limit_name="index-only query",
    )
    yield Figure(
        name=f"call log: page of “{name}”",
        variant=VARIANT,
        value=timed(lambda: client.get(PAGE, params)),
        unit="ms",
    )
