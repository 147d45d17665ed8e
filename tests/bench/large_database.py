"""A PostgreSQL database with many calls, pop-ups and daily reconciliations, for the benchmarks of pages.

It is created, filled with SQL, and dropped.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from statistics import median

import psycopg2

from tests.processes.servers import Missing

VARIANT = "PostgreSQL"
SERVER = os.environ.get("BENCH_POSTGRES", "postgres://postgres@127.0.0.1:5432")
TENANTS, PEOPLE = 200, 10
RUNS = 7
# The newest page of the call log by its index: the limit that queries and pages are compared with.
INDEX_ONLY = "SELECT started_at, id FROM telephony_call ORDER BY started_at DESC, id DESC LIMIT 51"

_FILL = (
    """
    INSERT INTO tenants_tenant (name, slug, language, time_zone, home_country, is_paused, activated_at,
        activation_token, activation_token_digest, needs_approval, opens_at, closes_at, works_weekends,
        upload_window_days, erased_numbers, created_at)
    SELECT 'Client ' || n, 'client-' || n, 'ru', (ARRAY['Europe/Moscow', 'Asia/Omsk', 'Asia/Vladivostok'])[1 + n %% 3],
        '', false, now(), '', 'token-' || n, false, '09:00', '18:00', false, 30, '{}', now()
    FROM generate_series(1, %(tenants)s) n
    """,
    """
    INSERT INTO tenants_ruleversion (tenant_id, number, rules, why, published_at)
    SELECT id, 1, %(rules)s, '', now() FROM tenants_tenant ORDER BY id
    """,
    "UPDATE tenants_tenant t SET rule_version_id = v.id FROM tenants_ruleversion v WHERE v.tenant_id = t.id",
    """
    INSERT INTO tenants_employee (tenant_id, uis_id, full_name, email, extension, numbers, recording_mode, popup,
        is_dismissed, linked_by, previous_linked_by, uis_status, synced_status, last_sent_crm_status, status_commands)
    SELECT t.id, n, 'Сотрудник ' || t.id || '-' || n, '', (100 + n)::text, '[]', 'all', '', false, '', '', '', '', '', 0
    FROM tenants_tenant t, generate_series(1, %(people)s) n
    """,
    """
    INSERT INTO telephony_call (tenant_id, session_id, state, origin, direction, contact, number, started_at, ended_at,
        is_lost, is_internal, talk_seconds, wait_seconds, result, rung_employee_ids, source,
        command_external_id, employee_id, uis_snapshot, recording_url, awaits_recording, has_legs, is_low_priority,
        import_choice, is_erased, skip_reason, reason, detail, attempts, claimed_by, lost_leases, next_attempt_at,
        failed_at, retry_window_started_at, uploaded_at, rule_version_id)
    SELECT t, 5000000000 + n,
        CASE WHEN r < 0.85 THEN 'UPLOADED' WHEN r < 0.99 THEN 'SKIPPED' WHEN r < 0.995 THEN 'FETCHING_LEGS'
            ELSE 'READY' END,
        'WEBHOOK', CASE WHEN n %% 3 = 0 THEN 'out' ELSE 'in' END,
        '7' || (9000000000 + (random() * 999999999)::bigint), '7495' || lpad((t * 10 + n %% 5)::text, 7, '0'),
        at, at + interval '1 minute', n %% 4 = 0, false, CASE WHEN n %% 4 = 0 THEN 0 ELSE 60 END, 5,
        CASE WHEN n %% 4 = 0 THEN 'NO_ANSWER' ELSE 'ANSWERED' END, '[]', 'va', '',
        (t - 1) * %(people)s + 1 + n %% %(people)s, '', CASE WHEN n %% 4 = 0 THEN '' ELSE repeat('x', 180) END,
        false, true, false, '', false,
        CASE WHEN r >= 0.85 AND r < 0.99 THEN (ARRAY['INTERNAL_OFF', 'CONTACT', 'HIDDEN_NUMBER'])[1 + n %% 3]
            ELSE '' END,
        CASE WHEN r >= 0.995 THEN (ARRAY['CRM_REFUSED', 'CRM_DENIED'])[1 + n %% 2] ELSE '' END, '', 1, '', 0,
        CASE WHEN r >= 0.99 AND r < 0.995 THEN at END, CASE WHEN r >= 0.995 THEN at END, at, at,
        (SELECT rule_version_id FROM tenants_tenant WHERE id = t)
    FROM (
        SELECT n, 1 + (random() * random() * (%(tenants)s - 1))::int AS t, random() AS r,
            now() - (%(rows)s - n) * (interval '365 days' / %(rows)s) AS at
        FROM generate_series(1, %(rows)s) n
    ) made
    """,
    # A pop-up for each incoming call: most within half a second, a few in ten; one in a hundred is rejected.
    """
    INSERT INTO crm_popup (tenant_id, session_id, employee_id, direction, contact, number, code, state, hangup,
        "unknown", detail, ringing_at, received_at, sent_at, accepted_at, closed_at, rule_version_id, filled,
        decided_by)
    SELECT tenant_id, session_id, employee_id, 'in', contact, number, '101',
        CASE WHEN is_rejected THEN 'FAILED' ELSE 'CLOSED' END, 'answered', '[]', '', started_at,
        started_at + hop * interval '1 second', started_at + hop * interval '1.1 second',
        CASE WHEN NOT is_rejected THEN started_at + (2 * hop + 0.1 - 0.15 * ln(1 - random())) * interval '1 second' END,
        ended_at, rule_version_id, '{}', '{}'
    FROM (
        SELECT *, 0.02 + 0.05 * random() AS hop, random() < 0.01 AS is_rejected
        FROM telephony_call WHERE direction = 'in'
    ) made
    """,
    """
    INSERT INTO telephony_dailyreconciliation (tenant_id, day, uis_calls, uploaded, skipped, waiting, failed, missing,
        unexplained, recovered, counted_at, closed_at)
    SELECT id, current_date - n, 100, 85, 14, 0, 1, '{}', 0, 3, now(), now()
    FROM tenants_tenant, generate_series(0, 364) n
    """,
)
_FILLED = ("telephony_call", "crm_popup")


@contextmanager
def filled(name: str, rows: int) -> Iterator[None]:
    """Set Django up with a database of so many calls, and drop it afterwards. Raises Missing without a server."""
    create(name)
    try:
        fill(rows)
        yield
    finally:
        execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def execute(*statements: str) -> None:
    """Execute statements outside of the database."""
    with closing(psycopg2.connect(f"{SERVER}/postgres")) as server_connection:
        server_connection.autocommit = True
        for statement in statements:
            server_connection.cursor().execute(statement)


def create(name: str) -> None:
    """Set Django up with a new, empty database. Raises Missing without a server."""
    try:
        execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
    except psycopg2.OperationalError as exc:
        raise Missing(f"no PostgreSQL answers at {SERVER} (BENCH_POSTGRES names another one)") from exc
    use(name)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def use(name: str) -> None:
    """Set Django up with a database."""
    os.environ |= {"DATABASE_URL": f"{SERVER}/{name}", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    import django
    from django.test.utils import setup_test_environment

    django.setup()
    setup_test_environment()


def fill(rows: int) -> None:
    """Fill the tables."""
    from django.db import connection

    from crm.popup_rollup import POPUPS
    from telephony.stats.rollup import CALLS
    from tenants.models import Tenant
    from tenants.rules import Rules, dumps

    rules = json.dumps(dumps(Rules()))
    with connection.cursor() as cursor:
        # Inserting is many times faster if the indexes are built afterwards.
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s)", [[*_FILLED]])
        indexes = [(name, definition) for name, definition in cursor.fetchall() if "UNIQUE" not in definition]
        for name, _made in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        for table in _FILLED:  # Counting the rows at the end is many times faster than a delta for each.
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in _FILL:
            cursor.execute(statement, {"rows": rows, "tenants": TENANTS, "people": PEOPLE, "rules": rules})
        for table in _FILLED:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        for _name, definition in indexes:
            cursor.execute(definition)
        cursor.execute("ANALYZE")
        for rollup in (CALLS, POPUPS):
            rollup.keep(Tenant.objects.zones(), seconds=math.inf)
        # Autovacuum would do the same: it makes index-only scans possible.
        cursor.execute("VACUUM ANALYZE")


def run(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)
        cursor.fetchall()


def timed(work: Callable[[], object]) -> float:
    """Return the median duration of several runs in milliseconds."""
    durations = []
    for _run_number in range(RUNS):
        started_at = time.perf_counter()
        work()
        durations.append(1000 * (time.perf_counter() - started_at))
    return median(durations)
