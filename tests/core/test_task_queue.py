"""Queueing tasks, in the database and in Redis."""

import pydoc
import socket
import threading
import time

import pytest
import redis
from django.db import connection, transaction
from django_q.models import OrmQ

from connector_project.core import redis_client, task_queue
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.checks import runner
from connector_project.operations.onboarding import activation
from crm import commands, integration_module
from telephony import task_names
from tenants.models import CrmConnection, UisConnection

pytestmark = pytest.mark.sql


@pytest.fixture
def real_redis(settings, redis_server):
    """Queue in a real Redis."""
    redis_server.flush()
    settings.REDIS_URL = redis_server.url
    task_queue._broker.cache_clear()
    yield redis_server.connect()
    task_queue._broker.cache_clear()


@pytest.mark.django_db(transaction=True)
def test_enqueue_outside_a_transaction_raises():
    with pytest.raises(task_queue.NotInTransaction):
        task_queue.enqueue(task_names.FETCH_LEGS, 1)


@pytest.mark.django_db(transaction=True)
def test_task_is_dropped_on_rollback():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        task_queue.enqueue(task_names.FETCH_LEGS, 1)
        1 / 0  # noqa: B018 -- any error will do
    assert task_queue.depth("default") == 0


@pytest.mark.django_db(transaction=True)
def test_task_is_pushed_to_redis_on_commit(real_redis):
    with transaction.atomic():
        task_queue.enqueue(task_names.FETCH_LEGS, 1)
        task_queue.enqueue(task_names.PROCESS_NOTIFICATION, 1, queue="fast")
        assert (task_queue.depth("default"), task_queue.depth("fast")) == (0, 0)
    assert (task_queue.depth("default"), task_queue.depth("fast")) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_row_is_committed_if_redis_is_unavailable(real_redis, settings, monkeypatch, caplog):
    from connector_project.core.models import RateLimitSlot

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(task_queue, "_paused_until", 0.0)
    task_queue._broker.cache_clear()
    with transaction.atomic():
        RateLimitSlot.objects.create(name="row", next_slot_at=0)
        task_queue.enqueue(task_names.FETCH_LEGS, 1)
    assert RateLimitSlot.objects.filter(name="row").exists()
    assert "Error" in caplog.text


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_entry_that_is_enough_for_a_row_is_not_taken_before_the_row_is_committed(settings):
    """Otherwise its task would not see the row, and nothing else would be queued for it."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time.")
    settings.REDIS_URL = ""
    task_queue._broker.cache_clear()
    with transaction.atomic():
        task_queue.enqueue(task_names.FETCH_LEGS, 1)
    has_checked, may_commit, committed, taken_before_the_commit = threading.Event(), threading.Event(), [], []

    def store_row():
        with transaction.atomic():
            task_queue.enqueue(task_names.FETCH_LEGS, 1)
            has_checked.set()
            may_commit.wait(5)
            committed.append(True)
        connection.close()

    def take():
        has_checked.wait(5)
        taken_before_the_commit.append(not committed if task_queue.create_broker("default").dequeue() else None)
        connection.close()

    threads = [threading.Thread(target=store_row), threading.Thread(target=take)]
    for thread in threads:
        thread.start()
    has_checked.wait(5)
    time.sleep(0.2)
    may_commit.set()
    for thread in threads:
        thread.join()
    assert taken_before_the_commit == [False]
    assert OrmQ.objects.count() == 1


@pytest.fixture
def hanging_redis(settings, monkeypatch):
    """A Redis that accepts connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        monkeypatch.setattr(redis_client, "REPLY_SECONDS", 0.05)
        monkeypatch.setattr(task_queue, "_paused_until", 0.0)
        task_queue._broker.cache_clear()
        yield server
    task_queue._broker.cache_clear()


def test_hanging_redis_holds_one_push_and_not_those_after_it(hanging_redis, monkeypatch):
    """The rows are due in a minute, for the sweep; after the pause one push tries again."""
    asked = []
    broker = task_queue._broker("fast")

    def time_out(payload):
        asked.append(payload)
        raise redis.TimeoutError

    monkeypatch.setattr(broker, "push", time_out)

    for pk in range(5):
        task_queue.enqueue_first(task_names.PROCESS_NOTIFICATION, pk, queue="fast")
    assert len(asked) == 1
    monkeypatch.setattr(task_queue, "_paused_until", time.monotonic() - 0.001)
    for pk in range(5):
        task_queue.enqueue_first(task_names.PROCESS_NOTIFICATION, pk, queue="fast")
    assert len(asked) == 2
    monkeypatch.setattr(task_queue, "_paused_until", time.monotonic() - 0.001)
    monkeypatch.setattr(broker, "push", asked.append)
    for pk in range(5):
        task_queue.enqueue_first(task_names.PROCESS_NOTIFICATION, pk, queue="fast")
    assert len(asked) == 2 + 5


def test_hanging_redis_is_given_up_after_our_own_time_out_and_not_asked_again(hanging_redis, caplog):
    started_at = time.monotonic()
    task_queue.enqueue_first(task_names.PROCESS_NOTIFICATION, 1, queue="fast")
    assert time.monotonic() - started_at < 1
    assert "task was not queued" in caplog.text
    assert task_queue._paused_until > time.monotonic() + 3


def test_time_outs_of_redis_are_short():
    assert redis_client.CONNECT_SECONDS + redis_client.REPLY_SECONDS <= 3


@pytest.mark.parametrize(
    "name",
    [value for key, value in vars(task_names).items() if key.isupper()]
    + [
        commands.TASK,
        CrmConnection.PROBE_TASK,
        UisConnection.PROBE_TASK,
        operations_tasks.DELETE_OFFBOARDED,
        runner.TASK,
        integration_module.TASK,
        activation.TASK,
    ],
)
def test_every_task_name_is_a_function(name):
    assert callable(pydoc.locate(name))
