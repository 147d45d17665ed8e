"""Health endpoints."""

from datetime import timedelta

import pytest
from django.utils import timezone

from connector_project.core import workers
from connector_project.core.models import WorkerHeartbeat
from telephony.models import Call
from tests import task_queue
from tests.conftest import CONTACT, NUMBER

pytestmark = pytest.mark.sql


@pytest.fixture
def both_queues(db):
    for queue in ("default", "fast"):
        WorkerHeartbeat.objects.create(name=f"host:{queue}", queue=queue, last_seen_at=timezone.now())


def ready(client):
    response = client.get("/health/ready/")
    return response.status_code, response.json()


def test_live_makes_no_query(client, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        assert client.get("/health/live/").json() == {"status": "ok"}


def test_ready_with_both_queues_served(client, both_queues):
    status, report = ready(client)
    assert (status, report["status"], report["database"], report["missing_workers"]) == (200, "ok", "ok", [])
    assert report["queue"] == {"broker": "database", "waiting": {"default": 0, "fast": 0}}
    assert [worker["name"] for worker in report["workers"]] == ["host:default", "host:fast"]
    assert report["oldest_waiting_seconds"] == 0


@pytest.mark.parametrize("queue", ["default", "fast"])
def test_queue_without_a_heartbeat_is_not_ready(client, both_queues, queue):
    WorkerHeartbeat.objects.filter(queue=queue).update(last_seen_at=timezone.now() - timedelta(minutes=2))
    status, report = ready(client)
    assert (status, report["status"], report["missing_workers"]) == (503, "unavailable", [queue])


def test_ready_reports_the_oldest_due_work(client, both_queues, notify, pbx, crm, crm_world, tenant):
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"), works=False)
    task_queue.process_notifications()
    Call.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=90))
    _status, report = ready(client)
    assert 89 <= report["oldest_waiting_seconds"] <= 95
    assert report["queue"]["waiting"]["default"] == 1


def test_database_error_is_reported_by_class_only(client, monkeypatch, both_queues):
    from django.db import OperationalError

    from connector_project.operations import health

    class Broken:
        def cursor(self):
            raise OperationalError("no")

    monkeypatch.setattr(health, "connection", Broken())
    status, report = ready(client)
    assert (status, report) == (503, {"status": "unavailable", "database": "OperationalError"})


def test_broker_error_is_reported_by_class_only(client, monkeypatch, both_queues):
    from redis import RedisError

    from connector_project.core import task_queue

    def fail(_name):
        raise RedisError

    monkeypatch.setattr(task_queue, "depth", fail)
    status, report = ready(client)
    assert (status, report["queue"]) == (503, {"error": "RedisError"})


def test_heartbeat_records_the_queue_and_deletes_stale_rows(db, monkeypatch):
    WorkerHeartbeat.objects.create(name="gone", queue="fast", last_seen_at=timezone.now() - timedelta(minutes=11))
    monkeypatch.setenv("Q_CLUSTER_NAME", "fast")
    workers.record_heartbeat()
    assert list(WorkerHeartbeat.objects.values_list("queue", flat=True)) == ["fast"]
    assert WorkerHeartbeat.objects.get().name != "gone"
