"""What receiving a notification costs: statements, entries of the queue, and nothing before them."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from connector_project.core import queue_entry, task_queue
from connector_project.core.prepared_statements import named
from telephony import task_names
from telephony.models import Notification
from tenants.models import UisConnection
from tests import server_session
from tests.queries import texts

BODY = '{"event": "call_end", "call_session_id": 1}'


@pytest.fixture
def real_redis(settings, redis_server, monkeypatch):
    redis_server.flush()
    settings.REDIS_URL = redis_server.url
    monkeypatch.setattr(task_queue, "_broker", task_queue.create_broker)


@pytest.fixture
def statements(client, hook):
    """Post a notification; return its status, and the statements by their first words."""

    def post(body=BODY, *, to=hook):
        with CaptureQueriesContext(connection) as queries:
            status = client.post(to, body, content_type="application/json").status_code
        words = [sql.split(maxsplit=1)[0] for sql in texts(queries)]
        return status, words

    return post


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("real_redis")
def test_one_autocommitted_statement_and_one_push(statements):
    insert = "INSERT" if connection.vendor == "sqlite" else "WITH"
    statements("first")
    assert statements() == (200, [insert])
    assert task_queue.depth("fast") == 2
    assert statements() == (200, [insert])  # a repeat
    assert task_queue.depth("fast") == 2


@pytest.mark.django_db(transaction=True)
def test_row_and_entry_commit_together(statements):
    status, words = statements()
    store = "INSERT" if connection.vendor == "sqlite" else "WITH"
    assert (status, [word for word in words if word not in {"BEGIN", "COMMIT"}]) == (200, [store, "INSERT"])
    assert (Notification.objects.count(), OrmQ.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("real_redis")
def test_refusal_costs_no_lookup(statements, tenant):
    more = ["SELECT"] if connection.vendor == "sqlite" else []
    assert statements(to="/hooks/uis/unknown/")[1][1:] == more
    UisConnection.objects.filter(tenant=tenant).update(limited_until=timezone.now() + timedelta(minutes=1))
    status, words = statements()
    assert (status, words[1:]) == (429, [*more, "UPDATE"])
    assert UisConnection.objects.get(tenant=tenant).refused_webhooks == 1
    assert not Notification.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("real_redis")
def test_connection_that_the_database_closed_loses_nothing(client, hook, statements):
    """No statement asks before each notification whether it is open."""
    assert statements("first")[0] == 200
    server_session.end()
    assert client.post(hook, BODY, content_type="application/json").status_code == 200
    assert (Notification.objects.count(), task_queue.depth("fast")) == (2, 2)


def test_fault_of_the_database_is_no_success(client, hook, monkeypatch):
    for name in ("STORE", "STORE_ON_SQLITE"):
        monkeypatch.setattr(f"telephony.webhooks.receive.{name}", named("SELECT nothing"))
    client.raise_request_exception = False
    assert client.post(hook, BODY, content_type="application/json").status_code == 500


def test_entry_is_what_the_workers_accept():
    entry = queue_entry.Entry(task_names.PROCESS_NOTIFICATION, (7,), timezone.now())
    payload = queue_entry.dump(entry.task, entry.args, name="one", queue="fast", now=entry.started)
    assert queue_entry.load(payload) == entry
