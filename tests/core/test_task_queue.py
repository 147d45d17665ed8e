"""Queueing tasks, in the database and in Redis."""

import pydoc

import pytest
from django.db import transaction

from connector_project.core import task_queue
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.checks import runner
from connector_project.operations.onboarding import activation
from crm import commands, integration_module
from telephony import task_names
from tenants.models import CrmConnection, UisConnection
from tests import needs

pytestmark = pytest.mark.sql

REDIS = "redis://127.0.0.1:6379/13"


@pytest.fixture
def real_redis(settings, monkeypatch):
    """Queue in a real Redis."""
    server = needs.redis_at(REDIS)
    server.flushdb()
    from django_q.conf import Conf

    settings.REDIS_URL = REDIS
    monkeypatch.setattr(Conf, "ORM", None)
    monkeypatch.setattr(Conf, "REDIS", REDIS)
    task_queue._broker.cache_clear()
    yield server
    task_queue._broker.cache_clear()
    server.flushdb()


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
    from django_q.conf import Conf

    from connector_project.core.models import RateLimitSlot

    monkeypatch.setattr(Conf, "REDIS", "redis://127.0.0.1:1/0")
    task_queue._broker.cache_clear()
    with transaction.atomic():
        RateLimitSlot.objects.create(name="row", next_slot_at=0)
        task_queue.enqueue(task_names.FETCH_LEGS, 1)
    assert RateLimitSlot.objects.filter(name="row").exists()
    assert "Error" in caplog.text


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
