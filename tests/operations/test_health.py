"""Health endpoints."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from connector_project.core import workers
from connector_project.core.models import WorkerHeartbeat
from connector_project.operations import tasks as operations_tasks
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


STRANGER = {"REMOTE_ADDR": "203.0.113.7"}


@pytest.fixture
def _fresh_cache():
    cache.clear()
    yield
    cache.clear()


@pytest.mark.usefixtures("_fresh_cache")
@pytest.mark.parametrize("status", ["ok", "unavailable"])
def test_strangers_learn_the_status_only_and_cost_nothing(client, both_queues, status, django_assert_num_queries):
    if status != "ok":
        WorkerHeartbeat.objects.all().delete()
    code = 200 if status == "ok" else 503
    answer = client.get("/health/ready/", **STRANGER)
    assert (answer.status_code, answer.json()) == (code, {"status": status})
    with django_assert_num_queries(0):
        again = client.get("/health/ready/", **STRANGER)
    assert (again.status_code, again.json()) == (code, {"status": status})


@pytest.mark.usefixtures("_fresh_cache")
@pytest.mark.parametrize(
    ("configured", "sent", "has_details"),
    [
        ("s3cret", "Bearer s3cret", True),
        ("s3cret", "bearer  s3cret ", True),
        ("s3cret", "Bearer wrong", False),
        ("s3cret", "Bearer ", False),
        ("s3cret", "s3cret", False),
        ("s3cret", "Bearer \u00e9", False),
        ("", "Bearer ", False),
        ("", "Bearer x", False),
    ],
)
def test_details_need_the_token_from_elsewhere(client, both_queues, settings, configured, sent, has_details):
    settings.METRICS_TOKEN = configured
    report = client.get("/health/ready/", headers={"Authorization": sent}, **STRANGER).json()
    assert ("workers" in report) is has_details


def test_wrong_token_is_no_local_visitor(client, both_queues, settings):
    settings.METRICS_TOKEN = "s3cret"
    assert "workers" not in client.get("/health/ready/", headers={"Authorization": "Bearer wrong"}).json()
    assert "workers" in client.get("/health/ready/").json()


@pytest.mark.parametrize("path", ["/health/live/", "/health/ready/"])
@pytest.mark.parametrize("accept", ["text/html", "image/png", "*/*"])
def test_monitor_may_accept_anything(client, both_queues, path, accept):
    assert client.get(path, headers={"Accept": accept}).status_code == 200


def test_heartbeat_records_the_queue(db, monkeypatch):
    monkeypatch.setenv("Q_CLUSTER_NAME", "fast")
    workers.record_heartbeat()
    assert WorkerHeartbeat.objects.get().queue == "fast"


def test_sweep_deletes_old_heartbeats(db):
    for name, minutes in (("gone", 11), ("silent", 9)):
        WorkerHeartbeat.objects.create(
            name=name, queue="fast", last_seen_at=timezone.now() - timedelta(minutes=minutes)
        )
    operations_tasks.enqueue_due_work()
    assert WorkerHeartbeat.objects.get().name == "silent"
