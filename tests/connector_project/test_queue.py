"""The one door to the queue."""

import os
import pydoc

import pytest
import redis
from django.db import transaction

from connector_project import queue
from crm import callbacks, checkup, commands, module, progress
from crm import tasks as crm_tasks
from telephony import route

REDIS = "redis://127.0.0.1:6379/13"


@pytest.fixture
def real_redis(settings, monkeypatch):
    """Queue in a real Redis."""
    server = redis.Redis.from_url(REDIS, socket_timeout=2)
    try:
        server.flushdb()
    except redis.RedisError:
        if os.environ.get("CI") == "true":
            pytest.fail("Redis does not answer on 127.0.0.1:6379")
        pytest.skip("Redis does not answer on 127.0.0.1:6379")
    from django_q.conf import Conf

    settings.REDIS_URL = REDIS
    monkeypatch.setattr(Conf, "ORM", None)
    monkeypatch.setattr(Conf, "REDIS", REDIS)
    queue._broker.cache_clear()
    yield server
    queue._broker.cache_clear()
    server.flushdb()


@pytest.mark.django_db(transaction=True)
def test_task_without_its_row_is_refused():
    with pytest.raises(queue.NotInTransaction):
        queue.enqueue(route.COLLECT, 1)


@pytest.mark.django_db(transaction=True)
def test_task_is_forgotten_with_the_row_that_was_rolled_back():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        queue.enqueue(route.COLLECT, 1)
        1 / 0  # noqa: B018 -- any error will do
    assert queue.depth("default") == 0


@pytest.mark.django_db(transaction=True)
def test_redis_gets_the_task_when_the_row_is_committed(real_redis):
    with transaction.atomic():
        queue.enqueue(route.COLLECT, 1)
        queue.enqueue(route.POPUP, 1, queue="fast")
        assert (queue.depth("default"), queue.depth("fast")) == (0, 0)
    assert (queue.depth("default"), queue.depth("fast")) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_redis_that_is_away_does_not_undo_the_row(real_redis, settings, monkeypatch, caplog):
    from django_q.conf import Conf

    from connector_project.models import Turn

    monkeypatch.setattr(Conf, "REDIS", "redis://127.0.0.1:1/0")
    queue._broker.cache_clear()
    with transaction.atomic():
        Turn.objects.create(name="row", free_at=0)
        queue.enqueue(route.COLLECT, 1)
    assert Turn.objects.filter(name="row").exists()
    assert "Error" in caplog.text


@pytest.mark.parametrize(
    "name",
    [value for key, value in vars(route).items() if key.isupper()]
    + [commands.RUN, callbacks.PROBE, crm_tasks.ERASE, checkup.TASK, module.TASK, progress.TASK],
)
def test_every_task_name_leads_to_a_function(name):
    assert callable(pydoc.locate(name))
