"""The call log with many calls, on PostgreSQL: the query of each page is compared with an index-only query.

The database is created, filled with SQL, and dropped.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from statistics import median
from typing import TYPE_CHECKING

import psycopg2

from tests.bench.figures import Figure
from tests.processes.servers import Missing

if TYPE_CHECKING:
    from django.test import Client

VARIANT = "PostgreSQL"
SERVER = os.environ.get("BENCH_POSTGRES", "postgres://postgres@127.0.0.1:5432")
NAME = "connector_call_log"
TENANTS, PEOPLE = 200, 10
RUNS = 7

_FILL = (
    """
    INSERT INTO tenants_tenant (name, slug, language, time_zone, is_paused, activated_at, activation_token,
        activation_token_digest, needs_approval, opens_at, closes_at, works_weekends, upload_window_days, created_at)
    SELECT 'Client ' || n, 'client-' || n, 'ru', (ARRAY['Europe/Moscow', 'Asia/Omsk', 'Asia/Vladivostok'])[1 + n %% 3],
        false, now(), '', 'token-' || n, false, '09:00', '18:00', false, 30, now()
    FROM generate_series(1, %(tenants)s) n
    """,
    """
    INSERT INTO tenants_employee (tenant_id, uis_id, full_name, email, extension, numbers, recording_mode,
        is_dismissed, linked_by, uis_status, synced_status, last_sent_crm_status)
    SELECT t.id, n, 'Сотрудник ' || t.id || '-' || n, '', (100 + n)::text, '[]', 'all', false, '', '', '', ''
    FROM tenants_tenant t, generate_series(1, %(people)s) n
    """,
    """
    INSERT INTO telephony_call (tenant_id, session_id, state, origin, direction, contact, number, started_at, ended_at,
        is_lost, is_internal, talk_seconds, wait_seconds, result, rung_employee_ids, source,
        command_external_id, employee_id, uis_snapshot, recording_url, has_legs, is_low_priority, skip_reason, reason,
        detail, attempts, next_attempt_at, failed_at, retry_window_started_at, uploaded_at)
    SELECT t, 5000000000 + n,
        CASE WHEN r < 0.85 THEN 'UPLOADED' WHEN r < 0.99 THEN 'SKIPPED' WHEN r < 0.995 THEN 'FETCHING_LEGS'
            ELSE 'READY' END,
        'WEBHOOK', CASE WHEN n %% 3 = 0 THEN 'out' ELSE 'in' END,
        '7' || (9000000000 + (random() * 999999999)::bigint), '7495' || lpad((t * 10 + n %% 5)::text, 7, '0'),
        at, at + interval '1 minute', n %% 4 = 0, false, CASE WHEN n %% 4 = 0 THEN 0 ELSE 60 END, 5,
        CASE WHEN n %% 4 = 0 THEN 'NO_ANSWER' ELSE 'ANSWERED' END, '[]', 'va', '',
        (t - 1) * %(people)s + 1 + n %% %(people)s, '', CASE WHEN n %% 4 = 0 THEN '' ELSE repeat('x', 180) END,
        true, false,
        CASE WHEN r >= 0.85 AND r < 0.99 THEN (ARRAY['INTERNAL_OFF', 'CONTACT', 'HIDDEN_NUMBER'])[1 + n %% 3]
            ELSE '' END,
        CASE WHEN r >= 0.995 THEN (ARRAY['CRM_REFUSED', 'CRM_DENIED'])[1 + n %% 2] ELSE '' END, '', 1,
        CASE WHEN r >= 0.99 AND r < 0.995 THEN at END, CASE WHEN r >= 0.995 THEN at END, at, at
    FROM (
        SELECT n, 1 + (random() * random() * (%(tenants)s - 1))::int AS t, random() AS r,
            now() - (%(rows)s - n) * (interval '365 days' / %(rows)s) AS at
        FROM generate_series(1, %(rows)s) n
    ) made
    """,
)
PAGE = "/admin/telephony/call/"
_INDEX_ONLY = "SELECT started_at, id FROM telephony_call ORDER BY started_at DESC, id DESC LIMIT 51"


def measure(rows: int) -> Iterator[Figure]:
    """Fill a database, measure each page, and drop the database. Raises Missing."""
    try:
        _admin(f"DROP DATABASE IF EXISTS {NAME}", f"CREATE DATABASE {NAME}")
    except psycopg2.OperationalError as exc:
        raise Missing(f"no PostgreSQL answers at {SERVER} (BENCH_POSTGRES names another one)") from exc
    try:
        _set_up()
        _fill(rows)
        yield from _measure()
    finally:
        _admin(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def _admin(*statements: str) -> None:
    with closing(psycopg2.connect(f"{SERVER}/postgres")) as server_connection:
        server_connection.autocommit = True
        for statement in statements:
            server_connection.cursor().execute(statement)


def _set_up() -> None:
    """Set Django up with the new database."""
    os.environ |= {"DATABASE_URL": f"{SERVER}/{NAME}", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    import django
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    django.setup()
    setup_test_environment()
    call_command("migrate", verbosity=0)


def _fill(rows: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        # Inserting is many times faster if the indexes are built afterwards.
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'telephony_call'")
        indexes = [(name, definition) for name, definition in cursor.fetchall() if "UNIQUE" not in definition]
        for name, _made in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        for statement in _FILL:
            cursor.execute(statement, {"rows": rows, "tenants": TENANTS, "people": PEOPLE})
        for _name, definition in indexes:
            cursor.execute(definition)
        cursor.execute("ANALYZE")
    connection.close()
    with closing(psycopg2.connect(f"{SERVER}/{NAME}")) as server_connection:
        server_connection.autocommit = True
        # Autovacuum would do the same: it makes index-only scans possible.
        server_connection.cursor().execute("VACUUM telephony_call")


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


def _measure() -> Iterator[Figure]:
    from django.test import Client

    from tenants.models import User

    client = Client(headers={"host": "testserver"})
    client.force_login(User.objects.create_superuser("bench"))
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
        value=_timed(lambda: _run(list_query)),
        unit="ms",
        limit=_timed(lambda: _run(_INDEX_ONLY)),
        limit_name="index-only query",
    )
    yield Figure(
        name=f"call log: page of “{name}”",
        variant=VARIANT,
        value=_timed(lambda: client.get(PAGE, params)),
        unit="ms",
    )


def _run(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)
        cursor.fetchall()


def _timed(work: Callable[[], object]) -> float:
    """Return the median duration of several runs in milliseconds."""
    durations = []
    for _run_number in range(RUNS):
        started_at = time.perf_counter()
        work()
        durations.append(1000 * (time.perf_counter() - started_at))
    return median(durations)
