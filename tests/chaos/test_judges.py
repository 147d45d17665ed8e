"""Each judge of the chaos run can fail: it is given a wrong result."""

import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from connector_project.operations.models import Activation, AlertDelivery
from crm.models import Command
from telephony.models import BulkAction, Call, Notification
from tenants.models import Employee, Tenant, UisConnection
from tests.chaos import compare, lasting
from tests.chaos.clock import Clock
from tests.chaos.faults import Faults, Outage
from tests.chaos.network import UIS
from tests.chaos.people import Edit
from tests.chaos.processes import Processes
from tests.chaos.rare_faults import RareFaults
from tests.chaos.scenario import GroundTruth
from tests.chaos.watch import LONGEST, NOT_FINAL, TAKEN_WITHIN, Watch
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER

SESSION = 77


@pytest.fixture
def rows(tenant):
    """One open row of each queue, due now."""
    now = timezone.now()
    due = {"next_attempt_at": now}
    times = {"started_at": now, "ended_at": now, "retry_window_started_at": now}
    return {
        Call: Call.objects.create(tenant=tenant, session_id=SESSION, state="READY", **times, **due),
        Notification: Notification.objects.create(tenant=tenant, received_at=now, digest="a", **due),
        Command: Command.objects.create(tenant=tenant, kind="SET_STATUS", received_at=now, **due),
        BulkAction: BulkAction.objects.create(
            kind="SKIP", requested_at=now, progressed_at=now, cursor_end=1, state="RUNNING", **due
        ),
        Activation: Activation.objects.create(tenant=tenant, state="RUNNING", started_at=now, **due),
        AlertDelivery: AlertDelivery.objects.create(channel="MAIL", subject="s", body="b", created_at=now, **due),
    }


@pytest.fixture
def watch():
    """Return a judge of the rows whose clock is a time after now."""
    clock, workers = SimpleNamespace(now=timezone.now), SimpleNamespace(pace=1, dead_until={})
    judge = Watch(clock, workers, tenants=1)

    def look(after=timedelta()):
        at = timezone.now() + after
        clock.now = lambda: at
        judge.look()
        return judge.differences

    look.judge, look.workers = judge, workers
    return look


def test_all_queues_are_watched():
    assert set(LONGEST) == set(NOT_FINAL)
    assert len(NOT_FINAL) == 6


def test_rows_in_time_are_no_difference(rows, watch):
    assert watch(TAKEN_WITHIN / 2) == []


@pytest.mark.parametrize("model", NOT_FINAL)
def test_row_without_a_next_attempt_is_detected(rows, watch, model):
    model.objects.update(next_attempt_at=None)
    assert watch() == [f"{model.__name__} {rows[model].pk} is not final, but has no next attempt"]


@pytest.mark.parametrize("model", NOT_FINAL)
def test_row_that_nobody_takes_up_is_detected(rows, watch, model):
    model.objects.exclude(pk=rows[model].pk).delete()
    assert watch(TAKEN_WITHIN + timedelta(minutes=1)) == [], "A vendor may have allowed it only just now."
    found = watch(TAKEN_WITHIN + timedelta(minutes=6))
    assert next(line for line in found if line.startswith(model.__name__)).split()[2:4] == ["was", "due"]


def test_row_is_not_overdue_while_no_worker_lives(rows, watch):
    watch.workers.dead_until = {"default": timezone.now() + timedelta(hours=1)}
    assert watch(TAKEN_WITHIN * 2) == []
    assert watch(timedelta(hours=1, minutes=1)) == []
    watch(timedelta(hours=1, minutes=5) + TAKEN_WITHIN * 2)
    assert watch(timedelta(hours=1, minutes=10) + TAKEN_WITHIN * 2) != []


@pytest.mark.parametrize("model", NOT_FINAL)
def test_row_postponed_for_too_long_is_detected(rows, watch, model):
    model.objects.update(next_attempt_at=timezone.now() + LONGEST[model] + timedelta(minutes=1))
    assert [line.split()[2:6] for line in watch()] == [["has", "its", "next", "attempt"]]


def test_call_may_wait_for_the_points_of_the_next_day(rows, watch):
    Call.objects.update(next_attempt_at=timezone.now() + timedelta(hours=20), reason="UIS_QUOTA")
    assert watch() == []


def test_queue_beyond_its_bound_is_detected(rows, watch):
    bound = watch.judge.bound()
    OrmQ.objects.bulk_create(OrmQ(key="fast", payload="x", lock=timezone.now()) for _ in range(bound))
    watch.judge.count_tasks()
    assert watch.judge.differences == []
    OrmQ.objects.create(key="fast", payload="x", lock=timezone.now())
    watch.judge.count_tasks()
    assert watch.judge.differences == [f"queue depth {bound + 1} tasks are queued, more than {bound}"]


# --- at the end


@pytest.fixture
def client_of_run(tenant, pbx, crm):
    """The client as the run knows them: Anna was linked by hand."""
    people = [
        SimpleNamespace(uis_id=IVAN, extension="101", user_id=27, is_linked_by_hand=False),
        SimpleNamespace(uis_id=ANNA, extension="103", user_id=99, is_linked_by_hand=True),
    ]
    Employee.objects.filter(uis_id=ANNA).update(crm_user_id=99, linked_by="MANUAL")
    return SimpleNamespace(slug="a", order=1, row=tenant, people=people, crm=crm, pbx=pbx)


def test_lost_link_by_hand_is_detected(client_of_run):
    assert list(lasting.links([client_of_run])) == []
    Employee.objects.filter(uis_id=ANNA).update(crm_user_id=None)
    assert list(lasting.links([client_of_run])) == ["a the link of 103 made by hand is gone"]


def test_extension_missing_in_the_module_is_detected(client_of_run):
    assert list(lasting.modules([client_of_run])) == ["a the module in the CRM lacks 103"]


@pytest.mark.parametrize(
    ("states", "text"),
    [
        (["OPEN", "OPEN"], "two open incidents of one cause"),
        (["RESOLVED"] * (lasting.MOST_INCIDENTS + 1), "incidents of one cause"),
        (["RESOLVED", "OPEN"], None),
    ],
)
def test_flapping_incident_is_detected(states, text):
    found = list(lasting.incidents([(1, "ACCESS_DENIED", "uis:x", state) for state in states], {1: "a"}))
    assert found == [] if text is None else text in found[0]


def test_call_that_reconciliation_did_not_find_is_detected(client_of_run, pbx):
    session = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    truth = GroundTruth()
    truth.add(compare.CallScenario(client_of_run, session, "missed"))
    found = list(lasting.not_found([client_of_run], truth))
    assert found == [f"a {session.session_id}: the connector has not found it by itself"]


@pytest.mark.parametrize(
    ("name", "hook", "status", "count"),
    [("Ромашка", "", 302, 0), ("Другое", "", 302, 1), ("Ромашка", "other", 302, 1), ("Ромашка", "", 500, 1)],
)
def test_undone_change_of_a_page_is_detected(client_of_run, name, hook, status, count):
    assert len(Edit(client_of_run, name, hook=hook, status=status).differences()) == count


@pytest.mark.slow
def test_page_is_saved_by_two_people(client, tenant):
    """What `People` does: rotation in the middle of a save is not undone."""
    from tests.chaos.people import People

    clock = Clock(datetime(2026, 3, 10, tzinfo=UTC))
    processes = Processes(clock, random.Random(1))
    people = People(clock, processes, random.Random(3))
    run_tenant = SimpleNamespace(row=tenant, slug="a")
    hook = tenant.uis.hook
    with processes.intercept():
        people.plan([run_tenant], begin=clock.now(), lasts=timedelta(minutes=1))
        with clock.running():
            clock.run_until(clock.now() + timedelta(minutes=3))
    assert people.met["page saved by two people"] == 1
    assert processes.bugs == []
    assert [edit.status for edit in people.edits] == [302]
    assert UisConnection.objects.get(tenant=tenant).hook != hook
    assert [line for edit in people.edits for line in edit.differences()] == []
    assert Tenant.objects.get().name == people.edits[0].name


@pytest.mark.parametrize(("is_failed", "count"), [(True, 0), (False, 1)])
def test_row_that_cannot_be_decrypted_must_fail(client_of_run, rows, pbx, is_failed, count):
    session = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    row = Call.objects.get()
    row.session_id, row.failed_at = session.session_id, timezone.now() if is_failed else None
    scenario = compare.CallScenario(client_of_run, session, "missed")
    run = compare.RunResult([client_of_run], GroundTruth(), None, {}, [], poisoned={(1, session.session_id)})
    assert len(list(compare._call(run, scenario, row))) == count


# --- the faults themselves


@pytest.fixture
def clock():
    return Clock(datetime(2026, 3, 10, tzinfo=UTC))


def test_lost_deadlock_that_is_not_run_again_is_a_bug(transactional_db, clock):
    processes = Processes(clock, random.Random(1))
    processes.deadlock_probability = 1.0

    def write():
        with transaction.atomic():
            Tenant.objects.update(name="x")

    with processes.intercept():
        processes.run("telephony.tasks.probe_all", write)
        processes.run("web", write)
    assert processes.deadlocks["deadlocks"] == 1
    assert [line.split(" at ")[0] for line in processes.bugs] == ["telephony.tasks.probe_all raised OperationalError"]
    assert not connection.in_atomic_block


def test_garbled_answer_is_given_a_number_of_times(clock):
    faults = Faults(clock, [], random.Random(1))
    now = clock.now()
    faults.outages.append(Outage(UIS, "no_result", "token", now, now + timedelta(hours=1), times=2))
    assert [faults.find(UIS, "token") for _ in range(3)] == ["no_result", "no_result", None]
    assert faults.find(UIS, "other") is None


def test_error_of_an_unreadable_key_is_explained_only_if_there_is_one(clock):
    processes = Processes(clock, random.Random(1))
    rare = RareFaults(Faults(clock, [], random.Random(1)), processes, SimpleNamespace(), random.Random(1))
    line = "the product logged an error: processing failed ImproperlyConfigured"
    assert not rare.explains(line)
    rare.met["key that cannot be decrypted"] += 1
    assert rare.explains(line)
    assert not rare.explains("the product logged an error: ValueError")
