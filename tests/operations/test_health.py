"""Health endpoints."""

from datetime import timedelta

import pytest
from django.utils import timezone

from connector_project.core import workers
from connector_project.core.models import WorkerHeartbeat
from tests.conftest import CONTACT, NUMBER

pytestmark = pytest.mark.sql


@pytest.fixture
def both_queues(db):
    for queue in ("default", "fast"):
        WorkerHeartbeat.objects.create(name=f"host:{queue}", queue=queue, last_seen_at=timezone.now())


def ready(client):
    answer = client.get("/health/ready/")
    return answer.status_code, answer.json()


def test_live_asks_nobody(client, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        assert client.get("/health/live/").json() == {"status": "ok"}


def test_ready_with_both_queues_served(client, both_queues):
    status, said = ready(client)
    assert (status, said["status"], said["database"], said["missing_workers"]) == (200, "ok", "ok", [])
    assert said["queue"] == {"broker": "database", "waiting": {"default": 0, "fast": 0}}
    assert [worker["name"] for worker in said["workers"]] == ["host:default", "host:fast"]
    assert said["oldest_waiting_seconds"] == 0


@pytest.mark.parametrize("queue", ["default", "fast"])
def test_queue_without_a_beat_is_not_ready(client, both_queues, queue):
    WorkerHeartbeat.objects.filter(queue=queue).update(last_seen_at=timezone.now() - timedelta(minutes=2))
    status, said = ready(client)
    assert (status, said["status"], said["missing_workers"]) == (503, "unavailable", [queue])


def test_age_of_waiting_work_is_told(client, workers, notify, pbx, crm, crm_world, tenant, later):
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"), works=False)
    from telephony.models import Call

    Call.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=90))
    _status, said = ready(client)
    assert 89 <= said["oldest_waiting_seconds"] <= 95
    assert said["queue"]["waiting"]["default"] == 1


def test_broken_database_is_told_without_a_trace(client, monkeypatch, both_queues):
    from django.db import OperationalError

    from connector_project.operations import health

    class Broken:
        def cursor(self):
            raise OperationalError("no")

    monkeypatch.setattr(health, "connection", Broken())
    status, said = ready(client)
    assert (status, said) == (503, {"status": "unavailable", "database": "OperationalError"})


def test_broken_queue_is_told(client, monkeypatch, both_queues):
    from redis import RedisError

    from connector_project.core import task_queue

    def fail(_name):
        raise RedisError

    monkeypatch.setattr(task_queue, "depth", fail)
    status, said = ready(client)
    assert (status, said["queue"]) == (503, {"error": "RedisError"})


def test_beat_names_the_queue_and_forgets_the_dead(db, monkeypatch):
    WorkerHeartbeat.objects.create(name="gone", queue="fast", last_seen_at=timezone.now() - timedelta(minutes=11))
    monkeypatch.setenv("Q_CLUSTER_NAME", "fast")
    workers.record_heartbeat()
    assert list(WorkerHeartbeat.objects.values_list("queue", flat=True)) == ["fast"]
    assert WorkerHeartbeat.objects.get().name != "gone"
