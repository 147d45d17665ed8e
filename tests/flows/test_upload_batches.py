"""Long queues of uploads: full batches, live calls first, and turns between clients."""

import itertools
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connector_project.core.task_queue import depth, enqueue
from crm import uploads
from telephony import task_names
from telephony.models import Call, State
from tenants.models import CrmConnection, Tenant, UisConnection
from tests.conftest import NUMBER
from tests.flows.upload_hooks import while_uploading


def add_ready(tenant, count, *, first=1, state=State.READY, **more):
    now = timezone.now()
    Call.objects.bulk_create(
        Call(
            tenant=tenant, session_id=session, state=state, direction="in", contact=f"7999{session:07d}",
            number=NUMBER, started_at=now - timedelta(seconds=40), ended_at=now - timedelta(seconds=20), is_lost=True,
            result="NO_ANSWER", retry_window_started_at=now, next_attempt_at=now - timedelta(seconds=1), **more,
        )
        for session in range(first, first + count)
    )  # fmt: skip


@pytest.fixture
def idle_queue(monkeypatch):
    """Nothing else waits, and a turn lasts long enough on a busy machine."""
    monkeypatch.setattr("crm.uploads.task_queue.depth", lambda _queue: 0)
    monkeypatch.setattr("crm.uploads.TURN_SECONDS", 60)


def upload(tenant):
    uploads.upload_due(tenant.pk, now=timezone.now())


def test_one_task_uploads_full_batches_while_nothing_else_waits(tenant, crm, stranger, idle_queue):
    add_ready(tenant, 130)
    upload(tenant)
    assert [len(batch) for batch in crm.uploads] == [50, 50, 30]
    assert set(Call.objects.values_list("state", "claim_token", "next_attempt_at")) == {("UPLOADED", None, None)}


def test_task_ends_its_turn_after_a_batch_if_other_work_waits(tenant, crm, run_queue):
    add_ready(tenant, 130)
    with transaction.atomic():
        enqueue(task_names.POLL_STATUSES, tenant.pk)
    upload(tenant)
    assert [len(batch) for batch in crm.uploads] == [50]
    run_queue()
    assert sorted(len(batch) for batch in crm.uploads) == [30, 50, 50]


def test_turn_of_a_task_ends(tenant, crm, idle_queue, monkeypatch):
    monkeypatch.setattr("crm.uploads.TURN_SECONDS", 0)
    add_ready(tenant, 130)
    upload(tenant)
    assert [len(batch) for batch in crm.uploads] == [50]
    monkeypatch.undo()
    assert depth("default") == 1


def test_live_call_is_in_the_next_request(tenant, crm, idle_queue, monkeypatch):
    add_ready(tenant, 150, is_low_priority=True)
    while_uploading(monkeypatch, lambda: add_ready(tenant, 1, first=1000))
    upload(tenant)
    assert ["uis-1000" in {call["externalId"] for call in batch} for batch in crm.uploads] == [
        False,
        True,
        False,
        False,
    ]


def test_upload_of_a_batch_has_a_fixed_statement_count(tenant, crm):
    """However many calls: the client and the calls are claimed, sent, and written in few statements."""
    counts = []
    for number, size in enumerate((2, 50)):
        add_ready(tenant, size, first=1 + 1000 * number)
        with CaptureQueriesContext(connection) as queries:
            upload(tenant)
        statements = [one["sql"] for one in queries if not one["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN"))]
        counts.append(len(statements))
    one_more = connection.vendor == "sqlite"  # for the log of the request
    # After a full batch it is asked whether more waits, and whether others do.
    assert counts == [12 + one_more, 15 + one_more]


@pytest.mark.one_database
def test_calls_of_one_client_are_due_as_those_of_all(tenant):
    """Whatever the client and the accounts are like: two queries decide the same."""
    now, hour = timezone.now(), timedelta(hours=1)
    for number, state in enumerate(State):
        add_ready(tenant, 1, first=1 + number, state=state)
    clients = [{}, {"is_paused": True}, {"is_paused": False, "activated_at": None}]
    accounts = [{}, {"retry_at": now - hour}, {"retry_at": now + hour}, {"retry_at": None, "denied_at": now}]
    found = set()
    for client, uis, crm in itertools.product(clients, accounts, accounts):
        Tenant.objects.filter(pk=tenant.pk).update(**{"is_paused": False, "activated_at": now} | client)
        UisConnection.objects.update(**{"retry_at": None, "denied_at": None} | uis)
        CrmConnection.objects.update(**{"retry_at": None, "denied_at": None} | crm)
        due = Call.objects.due(now=now)
        for state in State:
            of_all = list(due.filter(tenant=tenant, state=state).values_list("pk", flat=True))
            assert list(Call.objects.due_of(tenant.pk, state, now=now).values_list("pk", flat=True)) == of_all
            found.add((state, bool(of_all)))
    assert {(State.READY, True), (State.READY, False), (State.DEBOUNCING, True)} <= found
