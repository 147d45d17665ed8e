"""The queue while nobody works it off: nothing is queued twice, and live work is first when the cluster returns."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from connector_project.core import task_queue
from connector_project.core.task_queue import depth, enqueue
from connector_project.operations import tasks as operations_tasks
from connector_project.operations import ticker
from crm import commands
from crm import tasks as crm_tasks
from crm.models import Command
from telephony import task_names
from telephony import tasks as telephony_tasks
from telephony.models import Call, Notification
from telephony.webhooks import process, receive
from tests import task_queue as real_queue
from tests.conftest import CONTACT, IVAN, NUMBER

pytestmark = pytest.mark.slow  # the rows are committed: the database is emptied after each test

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["database", "redis"], autouse=True)
def broker(request, settings, transactional_db, redis_server):
    """Queue in the database, and in a real Redis."""
    settings.REDIS_URL = redis_server.url if request.param == "redis" else ""
    redis_server.flush()
    task_queue._broker.cache_clear()
    yield request.param
    task_queue._broker.cache_clear()


@pytest.fixture
def minutes():
    """Let minutes pass; yields the clock, for what happens in each."""
    with time_machine.travel(timezone.now()) as clock:
        yield lambda count: (clock.shift(MINUTE) for _ in range(count))


def sweep():
    """What the schedules run every minute, on the default cluster."""
    telephony_tasks.enqueue_due_work()
    crm_tasks.enqueue_due_work()
    operations_tasks.enqueue_due_work()


def store(tenant, body):
    receive.store(tenant.uis.hook, event="", query="", body=json.dumps(body), now=timezone.now())


def ring(tenant, pbx, number):
    call = pbx.call(contact=f"7999{number:07d}", number=NUMBER, rings=[IVAN])
    store(tenant, call.notification("waiting", employee_id=IVAN, at=timezone.now()))
    return call


def test_dead_fast_cluster_is_replaced_after_a_minute(tenant, pbx, crm, minutes):
    """The default cluster takes over what waited a minute; the first live card is first when the cluster returns."""
    for number, _minute in enumerate(minutes(8)):
        store(tenant, ring(tenant, pbx, number).notification("lost_call"))
        sweep()
        real_queue.work("default")
        assert (depth("fast") <= 6, depth("default")) == (True, 0)
    assert len(crm.calls) >= 5
    assert crm.events == []
    next(minutes(1))
    live = ring(tenant, pbx, 77)
    name, run = real_queue.take("fast")
    assert name == task_names.PROCESS_NOTIFICATION
    for _entry in range(6):
        run()
        if crm.events:
            break
        _name, run = real_queue.take("fast")
    assert [event["callExternalId"] for event in crm.events] == [f"uis-{live.session_id}"]


@pytest.mark.exhaustive
def test_entries_of_a_night_without_any_worker_are_dropped_unread(tenant, pbx, crm, minutes):
    """Nobody sweeps either: the returning cluster runs the live entry first."""
    for number, _minute in enumerate(minutes(15)):
        ring(tenant, pbx, number)
    assert depth("fast") == 15
    list(minutes(5))
    live = ring(tenant, pbx, 77)
    real_queue.take("fast")[1]()
    assert [event["callExternalId"] for event in crm.events] == [f"uis-{live.session_id}"]
    assert depth("fast") == 0
    sweep()
    real_queue.work("default")
    assert not Notification.objects.filter(next_attempt_at__isnull=False).exists()


def test_sweeps_without_a_worker_do_not_lengthen_the_queue(tenant, pbx, minutes):
    """Each distinct work waits once, however often it is swept."""
    for number in range(3):
        store(tenant, ring(tenant, pbx, number).notification("lost_call"))
    request = {"userId": "27", "code": "101", "status": "busy"}
    assert commands.receive(tenant, Command.Kind.SET_STATUS, request, now=timezone.now()).state == "RECEIVED"
    for _minute in minutes(30):
        sweep()
        ticker.tick()
        assert depth("default") <= 6
        assert depth("fast") <= 7
    assert (depth("default"), depth("fast")) == (6, 0)


def test_sweep_leaves_rows_for_which_the_queue_has_no_room(tenant, pbx, minutes, monkeypatch):
    monkeypatch.setattr(task_queue, "MAX_SWEPT", 3)
    for number in range(5):
        ring(tenant, pbx, number)
    for _minute in minutes(5):
        sweep()
        assert depth("default") == 3
    while real_queue.work("default"):
        next(minutes(1))
        sweep()
    assert set(Notification.objects.values_list("reason", flat=True)) == {"STALE"}


def test_pop_up_that_is_too_late_is_closed_by_the_sweep(tenant, pbx, crm, minutes):
    """Its worker died before the CRM was asked."""
    ring(tenant, pbx, 1)
    process.process(Notification.objects.get().pk, now=timezone.now())
    assert Notification.objects.get().outcome == "QUEUED"
    real_queue.take("fast")
    list(minutes(2))
    sweep()
    stored = Notification.objects.get()
    assert (stored.outcome, stored.reason, stored.next_attempt_at) == ("DROPPED", "STALE", None)
    assert (depth("default"), depth("fast"), crm.events) == (0, 0, [])


@pytest.mark.exhaustive
def test_busy_workers_get_one_entry_of_a_client_from_the_ticker(tenant, stranger):
    """Two minutes of ticks, and nobody takes anything."""
    now = timezone.now()
    Call.objects.create(
        tenant=tenant, session_id=1, contact=CONTACT, number=NUMBER, direction="in", state=Call.State.DEBOUNCING,
        started_at=now, ended_at=now, retry_window_started_at=now, next_attempt_at=now,
    )  # fmt: skip
    for _tick in range(60):
        telephony_tasks.enqueue_debounced()
    assert depth("default") == 1
    assert real_queue.take("default")[0] == task_names.EVALUATE
    telephony_tasks.enqueue_debounced()
    assert depth("default") == 1, "It was taken: it may have read the database before."


def test_dead_default_cluster_gets_one_entry_of_each_client_and_step(tenant, pbx, crm, minutes):
    started_at = timezone.now() - timedelta(seconds=40)
    for number in range(8):
        call = pbx.call(contact=f"7999{number:07d}", number=NUMBER, talks=[(IVAN, 20)], started_at=started_at)
        store(tenant, call.notification("call_end"))
        assert real_queue.work("fast") == 1
    assert Call.objects.filter(state=Call.State.FETCHING_LEGS).count() == 8
    assert depth("default") == 1
    real_queue.work("default")
    assert len(crm.calls) == 8


def test_lost_queue_is_filled_by_the_next_sweep(broker, redis_server, tenant, pbx, crm, minutes):
    ring(tenant, pbx, 1)
    store(tenant, pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    list(minutes(2))
    sweep()
    assert depth("default") == 2
    if broker == "redis":
        redis_server.flush()
    else:
        real_queue.lose()
    list(minutes(1))
    sweep()
    assert depth("default") == 2
    real_queue.work("default")
    assert len(crm.calls) == 1


def test_equal_entry_in_the_other_queue_does_not_count():
    with transaction.atomic():
        enqueue(task_names.FETCH_LEGS, 1)
        enqueue(task_names.FETCH_LEGS, 1, queue="fast")
        enqueue(task_names.FETCH_LEGS, 2)
    assert (depth("default"), depth("fast")) == (2, 1)


@pytest.mark.exhaustive
def test_schedules_do_not_pile_up(minutes):
    """While the guard of a cluster lives and its workers do not."""
    from django_q.models import Schedule
    from django_q.scheduler import scheduler

    from connector_project.operations import schedules

    schedules.apply()
    for _minute in minutes(90):
        scheduler(broker=task_queue.create_broker("default"))
    assert depth("default") <= Schedule.objects.count()
    assert depth("default") > 5


def test_late_clicks_and_statuses_are_closed_by_the_sweep(tenant, minutes):
    """In the queue they would only be in front of the live cards when the cluster returns."""
    for number in range(4):
        request = {"userId": "27", "code": "101", "phone": f"7999{number:07d}"}
        assert commands.receive(tenant, Command.Kind.MAKE_CALL, request, now=timezone.now()).state == "RECEIVED"
    request = {"userId": "27", "code": "101", "status": "busy"}
    assert commands.receive(tenant, Command.Kind.SET_STATUS, request, now=timezone.now()).state == "RECEIVED"
    for _minute in minutes(12):
        sweep()
        assert depth("fast") <= 9  # each, and one message about each click
    ended = set(Command.objects.values_list("kind", "state", "reason", "next_attempt_at"))
    assert ended == {("MAKE_CALL", "FAILED", "STALE", None), ("SET_STATUS", "FAILED", "UIS_UNAVAILABLE", None)}
    assert depth("fast") == 0


def test_rows_have_their_turns_while_the_queue_is_full_of_other_work(tenant, pbx, minutes, monkeypatch):
    """Clients by the hundred, whose tasks are queued again as fast as they are done."""
    monkeypatch.setattr(task_queue, "MAX_SWEPT", 10)
    with transaction.atomic():
        for number in range(10):
            enqueue(task_names.POLL_STATUSES, number)
    for number in range(2):
        store(tenant, pbx.call(contact=f"7999{number:07d}", number=NUMBER, rings=[IVAN]).notification("lost_call"))
    list(minutes(2))
    sweep()
    assert depth("default") == 11
    list(minutes(1))
    sweep()
    assert depth("default") == 12
