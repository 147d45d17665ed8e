"""A tenant that floods us, or whose CRM is slow, delays nobody else's pop-up; and no notification is forgotten."""

import json
import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from connector_project.core import task_queue as product_queue
from connector_project.core.jobs import QUEUED_FOR
from connector_project.core.prepared_statements import fetch_all
from crm.retailcrm.client import RetailCrmClient
from telephony.models import Notification
from telephony.webhooks import receive, turns
from tenants.models import Tenant
from tests import needs, task_queue
from tests.conftest import CONTACT, IVAN, NUMBER

MINUTE = timedelta(minutes=1)
OTHERS = 50


@pytest.fixture
def first_turn(monkeypatch):
    """Begin each test's way round the tenants anew."""
    monkeypatch.setattr(turns, "_last_tenant_id", 0)


@pytest.fixture
def store():
    def store(tenant, *bodies):
        for body in bodies:
            now = timezone.now()
            assert receive.store(tenant.uis.hook, event="", query="", body=json.dumps(body), now=now) == 200

    return store


@pytest.fixture
def rings(pbx, twin_pbx, tenant, twin):
    """Return the notifications of ringing phones of a client, each of another call."""
    accounts = {tenant.pk: pbx, twin.pk: twin_pbx}

    def create(of, count):
        calls = [accounts[of.pk].call(contact=CONTACT, number=NUMBER, rings=[IVAN]) for _ in range(count)]
        return [call.notification("waiting", employee_id=IVAN, at=timezone.now()) for call in calls]

    return create


def waiting_rows(tenant_id, count):
    """Store notifications of a tenant that wait, without their wake-ups; return their primary keys."""
    now = timezone.now()
    rows = [
        Notification(tenant_id=tenant_id, digest=str(number), received_at=now, next_attempt_at=now + QUEUED_FOR)
        for number in range(count)
    ]
    return [row.pk for row in Notification.objects.bulk_create(rows)]


def tenants(count):
    rows = [Tenant(name=f"{n}", slug=f"of-many-{n}", activation_token=f"{n}") for n in range(count)]
    for number, row in enumerate(rows):
        row.activation_token_digest = str(number)
    return [row.pk for row in Tenant.objects.bulk_create(rows)]


def claim():
    claimed = turns.claim_next(now=timezone.now())
    return claimed and claimed.pk


def finish(pk):
    Notification.objects.filter(pk=pk).update(claim_token=None, next_attempt_at=None, outcome="DONE")


@pytest.mark.parametrize("place", ["first", "last"])
def test_flood_leaves_the_others_their_turns(db, first_turn, place):
    """A ring is processed when each of the others has had one turn at most, however much waits of the one."""
    ids = tenants(OTHERS + 1)
    flooder = ids.pop(0 if place == "first" else -1)
    flood = waiting_rows(flooder, 500)
    for _turn in range(3):
        finish(claim())
    ringing = {waiting_rows(other, 1)[0] for other in ids}
    turned = [claim() for _turn in range(OTHERS + 1)]
    assert ringing < set(turned)
    for pk in turned:
        finish(pk)
    rest = [claim() for _turn in range(2)]
    assert rest == [pk for pk in flood if pk not in turned][3:5]


def wake_ups():
    """Take the queued wake-ups, and return what runs each."""
    rows = list(OrmQ.objects.order_by("pk"))
    OrmQ.objects.all().delete()
    return [task_queue.load(row)[1] for row in rows]


def test_ring_beside_a_flood_opens_its_popup_next(store, rings, tenant, twin, crm, twin_crm, first_turn):
    store(tenant, *rings(tenant, 12))
    store(twin, *rings(twin, 1))
    first, second, *further = wake_ups()
    first()
    assert (len(crm.events), len(twin_crm.events)) == (1, 0)
    second()
    assert len(twin_crm.events) == 1
    for run in further:
        run()
    assert (len(crm.events), len(twin_crm.events)) == (12, 1)


def test_next_wake_up_makes_up_for_a_lost_one(store, rings, tenant, twin, crm):
    store(tenant, *rings(tenant, 1))
    assert task_queue.lose() == 1
    store(tenant, *rings(tenant, 1))
    (run,) = wake_ups()
    run()
    assert len(crm.events) == 2


def test_lost_queue_is_swept_in_turns(pbx, twin_pbx, store, tenant, twin, crm, twin_crm, later, monkeypatch):
    """The first sweep has room for a few rows: the other client's is among them, however many came before it."""
    monkeypatch.setattr(product_queue, "MAX_SWEPT", 4)
    for account, of, count in ((pbx, tenant, 10), (twin_pbx, twin, 1)):
        missed = [account.call(contact=f"7999000{n:04}", number=NUMBER, rings=[IVAN]) for n in range(count)]
        store(of, *[call.notification("lost_call") for call in missed])
    task_queue.lose()
    later(QUEUED_FOR + timedelta(seconds=1))
    assert tenant.notifications.exclude(outcome="RECEIVED").count() == 3
    assert len(twin_crm.calls) == 1
    for _minute in range(4):
        later(MINUTE + timedelta(seconds=1))
    assert len(crm.calls) == 10


def test_old_notifications_are_left_to_the_sweep(store, rings, tenant, twin, crm):
    """A wake-up is for those that ring now: an old one is worked on by the other cluster."""
    store(tenant, *rings(tenant, 1))
    (run,) = wake_ups()
    with time_machine.travel(timezone.now() + turns.LIVE_FOR + timedelta(seconds=1)):
        run()
        assert Notification.objects.get().outcome == "RECEIVED"
        task_queue.sweep()
    assert Notification.objects.get().reason == "STALE"


@pytest.fixture
def two_workers(settings):
    """Two workers: each client may have one of them."""
    cluster = settings.Q_CLUSTER["ALT_CLUSTERS"]["fast"] | {"workers": 2}
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"ALT_CLUSTERS": {"fast": cluster}}


def test_client_with_a_slow_crm_leaves_a_worker_to_the_others(
    store, rings, tenant, twin, crm, twin_crm, two_workers, monkeypatch
):
    """Wake-ups that find nothing because of that are made up for by the worker that the client has."""
    sent = RetailCrmClient.send_event
    shown_meanwhile = []

    def send(self, event):
        monkeypatch.setattr(RetailCrmClient, "send_event", sent)
        store(tenant, *rings(tenant, 3))
        store(twin, *rings(twin, 1))
        for run in wake_ups():  # of the other worker
            run()
        shown_meanwhile.append((len(crm.events), len(twin_crm.events)))
        return sent(self, event)

    monkeypatch.setattr(RetailCrmClient, "send_event", send)
    store(tenant, *rings(tenant, 1))
    task_queue.drain()
    assert shown_meanwhile == [(0, 1)]
    assert len(crm.events) == 4
    assert OrmQ.objects.count() == 0


def test_worker_that_was_killed_does_not_keep_its_clients_share(db, two_workers, first_turn):
    (of,) = tenants(1)
    killed, next_one = waiting_rows(of, 2)
    assert claim() == killed
    assert claim() is None
    with time_machine.travel(timezone.now() + turns.HELD_FOR + timedelta(seconds=1)):
        assert claim() == next_one


def test_task_that_goes_on_for_long_leaves_the_rest_to_a_new_one(
    store, rings, tenant, twin, crm, two_workers, monkeypatch
):
    monkeypatch.setattr(turns, "MAX_SECONDS", 0.0)
    store(tenant, *rings(tenant, 3))
    run, *_lost = wake_ups()
    for count in (1, 2, 3):
        run()
        assert len(crm.events) == count
        (run,) = wake_ups()
    run()
    assert wake_ups() == []


@pytest.fixture
def rests(monkeypatch):
    """The seconds for which this worker leaves the processors to others."""
    kept = []
    monkeypatch.setattr(turns.time, "sleep", kept.append)
    return kept


def test_worker_of_a_flooding_client_rests_as_long_as_it_works(db, two_workers, first_turn, rests):
    (of,) = tenants(1)
    first, *_further = waiting_rows(of, turns.FLOOD_ROWS + 3)
    turns.work_off(first, lambda claimed: finish(claimed.pk))
    assert len(rests) == 3
    assert all(0 < rest <= turns.LONGEST_REST_SECONDS for rest in rests)


def test_worker_of_many_clients_does_not_rest(db, first_turn, rests):
    first, *_further = [waiting_rows(of, 1)[0] for of in tenants(2 * turns.FLOOD_ROWS)]
    turns.work_off(first, lambda claimed: finish(claimed.pk))
    turns.work_off(turns.UNTIL_NONE_WAITS, lambda claimed: finish(claimed.pk))
    assert Notification.objects.filter(outcome="RECEIVED").count() == 0
    assert rests == []


def test_wake_ups_of_a_flood_leave_time_to_others(db, two_workers, first_turn, rests):
    (of,) = tenants(1)
    _held, second, *_further = waiting_rows(of, 3)
    assert claim() is not None
    turns.work_off(second, lambda _claimed: pytest.fail("more than its share"))
    assert rests == [turns.PAUSE_SECONDS]


def test_wake_up_is_left_if_the_worker_fails_that_others_counted_on(store, rings, tenant, twin, two_workers):
    def fail(_claim):
        raise ZeroDivisionError

    (pk, _second) = waiting_rows(tenant.pk, 2)
    with pytest.raises(ZeroDivisionError):
        turns.work_off(pk, fail)
    assert len(wake_ups()) == 1


@needs.two_connections
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
@pytest.mark.parametrize(("workers", "at_once"), [(100, 40), (4, 2)])
def test_no_two_workers_get_the_same_notification_nor_more_than_a_share(settings, first_turn, workers, at_once):
    """Four workers claim at the same time, each on its own connection; nobody finishes."""
    cluster = settings.Q_CLUSTER["ALT_CLUSTERS"]["fast"] | {"workers": workers}
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"ALT_CLUSTERS": {"fast": cluster}}
    (of,) = tenants(1)
    rows, claimed, together = waiting_rows(of, 40), [], threading.Barrier(4)

    def work():
        together.wait(5)
        try:
            while pk := claim():
                claimed.append(pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == rows[:at_once]


def plan_nodes(plan):
    yield plan
    for inner in plan.get("Plans", []):
        yield from plan_nodes(inner)


@pytest.mark.parametrize("statement", ["_CLAIM", "_FIND_TENANT"])
def test_turn_is_found_without_a_look_at_the_rows_of_the_flood(db, statement):
    first, *_further = tenants(5)
    # As in production, most of what has come in the last minute is done.
    done = waiting_rows(first, 6000)[2000:]
    Notification.objects.filter(pk__in=done).update(next_attempt_at=None, outcome="DONE")
    values = turns._values(turns.UNTIL_NONE_WAITS, timezone.now()) | {"after": 0}

    def explained(prefix):
        found = getattr(turns, statement)
        return found.run([values[name] for name in found.names], fetch_all, prefix=prefix)

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            plan = explained("EXPLAIN QUERY PLAN ")
            steps = [row[-1] for row in plan if "telephony_notification" in row[-1]]
            assert steps
            assert not [step for step in steps if step.startswith("SCAN") and "notification_waiting" not in step]
        else:
            # The plan that is kept knows none of the values.
            cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            cursor.execute("ANALYZE telephony_notification")
            ((plan,),) = explained("EXPLAIN (ANALYZE, FORMAT JSON) ")
            nodes = list(plan_nodes(plan[0]["Plan"]))
            assert max(node["Actual Rows"] * node["Actual Loops"] for node in nodes) <= 10
            assert max(node.get("Rows Removed by Filter", 0) for node in nodes) <= 10


def test_ring_costs_a_fixed_number_of_statements(store, rings, tenant, twin):
    """Two for the turn and its row, three to apply it, two of the staff and the events, two for the pop-up; the slot,
    the store and the answer of the CRM; the log of the request (two on SQLite), and the end."""
    store(tenant, *rings(tenant, 1))
    task_queue.drain()  # What is read once per process is not counted.
    store(tenant, *rings(tenant, 1))
    (run,) = wake_ups()
    with CaptureQueriesContext(connection) as queries:
        run()
    statements = [query["sql"].split()[0] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == (15 if connection.vendor == "sqlite" else 14), statements
