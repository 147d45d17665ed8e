"""How many SQL statements each step of a call takes, the queue's aside; docs/performance.md has the table.

They may fall, not rise. A savepoint here is the transaction of a worker: its beginning and end count.
"""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from tenants.models import UisConnection
from tenants.rules import RecordingKind
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules_for_all

QUEUE = ("django_q_ormq", "core_queuedtask")
# Statements on PostgreSQL, and how many more on SQLite: there an outgoing request is kept in four statements, not one.
LIMITS = {
    "incoming": (7, 0),
    "waiting": (16, 3),
    "talk_started": (13, 3),
    "talk_finished": (7, 0),
    "call_end": (17, 3),
    "fetch_call_legs": (20, 3),
    "upload_calls": (18, 3),
}

pytestmark = pytest.mark.sql


@pytest.fixture
def whole_call(tenant, pbx):
    """Return the notifications of an answered call with two rings, in order."""
    # Two phones ring, and each link is ours, so that no step waits for a recording.
    publish_rules_for_all(recording_link=RecordingKind.OURS)

    def notifications():
        UisConnection.objects.update(legs_slot_at=None)
        now = timezone.now()
        script = {"rings": [IVAN, PETR], "talks": [(IVAN, 4)], "wait": 2}
        call = pbx.call(contact=CONTACT, number=NUMBER, started_at=now - timedelta(seconds=7), **script)
        return [
            *(call.notification("waiting", employee_id=one, at=now - timedelta(seconds=6)) for one in (IVAN, PETR)),
            call.notification("incoming", at=now - timedelta(seconds=7)),
            *(call.notification(event) for event in ("talk_started", "talk_finished", "call_end")),
        ]

    return notifications


def _run_counting():
    """Run the queued tasks; return for each the last part of its name, with its statements."""
    counted = []
    while row := OrmQ.objects.order_by("pk").first():
        name, run = task_queue.load(row)
        row.delete()
        statements = []

        def note(execute, sql, *rest, statements=statements):
            statements.append(sql)
            return execute(sql, *rest)

        with connection.execute_wrapper(note):
            run()
        own = [sql for sql in statements if not any(table in sql for table in QUEUE)]
        counted.append((name.rpartition(".")[2], len(own)))
    return counted


def test_each_step_takes_no_more_statements_than_now(whole_call, notify, crm):
    notify(*whole_call())  # What is compiled or read once per process is not counted.
    counts = {}
    for body in whole_call():
        notify(body, works=False)
        for task, count in _run_counting():
            step = body["event"] if task == "process_notification" else task
            counts[step] = max(count, counts.get(step, 0))
    assert len(crm.calls) == 2
    more = connection.vendor == "sqlite"
    limits = {step: limit + more * on_sqlite for step, (limit, on_sqlite) in LIMITS.items()}
    assert counts.keys() == limits.keys()
    assert {step: (count, limits[step]) for step, count in counts.items() if count > limits[step]} == {}
