"""Periodic work of many clients: each has its turn once in a period, and nothing that people wait for stands behind."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from connector_project.core.models import PeriodicRound
from connector_project.operations import tasks as operations_tasks
from connector_project.operations import ticker
from connector_project.operations.checks import runner
from crm import tasks as crm_tasks
from telephony import task_names
from telephony import tasks as telephony_tasks
from telephony.models import ReportCursor
from telephony.reconciliation.comparison_result import ComparisonResult
from telephony.staff import sync
from tenants import periodic_work
from tenants.models import Tenant
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER

TICK = timedelta(seconds=10)  # longer than the ticker's, to save time


def add_clients(count):
    """Add clients whose periodic tasks are only counted; return their primary keys."""
    now = timezone.now()
    return {
        added.pk
        for added in Tenant.objects.bulk_create(
            Tenant(name=f"Client {number}", slug=f"client-{number}", activated_at=now) for number in range(count)
        )
    }


@pytest.fixture
def many(tenant):
    """Sixty more clients."""
    return add_clients(60)


@pytest.fixture
def clock():
    with time_machine.travel(datetime(2026, 3, 10, 9, 0, tzinfo=UTC), tick=False) as traveller:
        yield traveller


def take_each():
    """Remove all entries of the queue; return the clients of each reconciliation among them."""
    tasks = [SignedPackage.loads(payload) for payload in OrmQ.objects.order_by("pk").values_list("payload", flat=True)]
    OrmQ.objects.all().delete()
    return [task["args"] for task in tasks if task["func"] == task_names.RECONCILE_CALLS]


def take_all():
    """Return the clients of all these reconciliations."""
    return [pk for shared_by in take_each() for pk in shared_by]


def turns(clock, duration):
    """Let time pass with the ticker, while workers take all that is queued; return the clients by tick."""
    found = [take_all()]
    for _tick in range(duration // TICK):
        clock.shift(TICK)
        ticker.tick()
        found.append(take_all())
    return found


def test_upload_and_pop_up_do_not_wait_for_the_periodic_work_of_many_clients(tenant, pbx, crm, notify):
    """Everything is due in the same minute."""
    many = add_clients(300)
    periodic = {task_names.SYNC_EMPLOYEES, task_names.RECONCILE_CALLS, runner.TASK}

    def run(row):
        task, act = task_queue.load(row)
        if not (task in periodic and many.issuperset(SignedPackage.loads(row.payload)["args"])):
            act()

    telephony_tasks.sync_all()
    operations_tasks.run_checks_all()
    telephony_tasks.reconcile_all()
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"), works=False)
    ringing = pbx.call(contact="79990000077", number=NUMBER, rings=[IVAN])
    notify(ringing.notification("waiting", employee_id=IVAN, at=timezone.now()), works=False)
    for ran in range(40):
        if crm.calls and crm.events:
            break
        if ran % 4 == 0:  # Two seconds, in which the workers do more than this.
            ticker.tick()
        for queue in ("fast", "default"):
            if row := OrmQ.objects.filter(key=queue).order_by("pk").first():
                row.delete()
                run(row)
    assert (len(crm.calls), len(crm.events)) == (1, 1)
    assert ran <= 20


@pytest.mark.one_database
def test_each_client_has_one_turn_in_a_period(tenant, many, clock):
    telephony_tasks.reconcile_all()
    found = turns(clock, timedelta(minutes=9, seconds=30))
    assert Counter(pk for tick in found for pk in tick) == Counter([tenant.pk, *many])
    assert max(map(len, found[1:])) <= 2
    assert PeriodicRound.objects.get().is_over


@pytest.mark.one_database
def test_turn_of_a_client_comes_after_the_same_time_in_each_period(tenant, many, clock):
    rounds = []
    for _round in range(2):
        telephony_tasks.reconcile_all()
        found = turns(clock, timedelta(minutes=10))
        rounds.append({pk: number for number, tick in enumerate(found) for pk in tick})
    assert rounds[0] == rounds[1]


@pytest.mark.one_database
def test_all_clients_have_their_turns_while_the_queue_is_full_of_other_work(tenant, many, clock, monkeypatch):
    """One at a time: a round that is not over when the next one is due goes on."""
    monkeypatch.setattr("tenants.periodic_work.depth", lambda _queue: 1000)
    telephony_tasks.reconcile_all()
    found = turns(clock, timedelta(minutes=9, seconds=30))
    assert max(map(len, found)) == 1
    assert not PeriodicRound.objects.get().is_over
    telephony_tasks.reconcile_all()
    found += turns(clock, timedelta(minutes=2))
    assert Counter(pk for tick in found for pk in tick) == Counter([tenant.pk, *many])


@pytest.mark.one_database
def test_client_that_is_paused_before_its_turn_is_left_out(tenant, many, clock):
    telephony_tasks.reconcile_all()
    last = max(many)
    Tenant.objects.filter(pk=last).update(is_paused=True)
    found = turns(clock, timedelta(minutes=9, seconds=30))
    assert {tenant.pk, *many} - {pk for tick in found for pk in tick} == {last}


@pytest.fixture
def shared(tenant, stranger):
    """Run the comparison that two clients share; return the clients who were asked about, in order."""

    def run(fail=(), slow=()):
        asked = []

        def compare(client, **given):
            asked.append(client.pk)
            if client.pk in fail:
                raise ValueError("a bug")
            if client.pk in slow:
                ticks.append(periodic_work.SLOW_SECONDS + 1.0)
            return ComparisonResult(since=given["since"], till=given["till"])

        ticks = [0.0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("telephony.reconciliation.compare.compare_period", compare)
            patch.setattr("tenants.periodic_work.time.monotonic", lambda: sum(ticks))
            telephony_tasks.reconcile_calls(tenant.pk, stranger.pk)
        return asked

    return run


@pytest.mark.one_database
def test_clients_whose_turns_come_together_share_a_task(many):
    telephony_tasks.reconcile_all()
    first = SignedPackage.loads(OrmQ.objects.order_by("pk").first().payload)
    assert len(first["args"]) == telephony_tasks.RECONCILE.most_clients


def test_clients_of_a_task_have_their_turns_in_order(tenant, stranger, shared):
    assert shared() == [tenant.pk, stranger.pk]
    assert take_all() == []


def compared():
    """Return the clients with a comparison that came to its end. Nobody holds one."""
    assert not ReportCursor.objects.exclude(claim_token=None).exists()
    return set(ReportCursor.objects.filter(completed_until__isnull=False).values_list("tenant", flat=True))


def test_results_of_a_shared_task_are_those_of_each_client(tenant, stranger, shared):
    shared()  # makes the cursors
    ReportCursor.objects.update(completed_until=None)
    shared()
    assert compared() == {tenant.pk, stranger.pk}


def test_client_whom_another_worker_compares_is_left_out(tenant, stranger, shared):
    shared()
    ReportCursor.objects.claim(stranger, ReportCursor.Kind.RECENT, now=timezone.now())
    assert shared() == [tenant.pk]


def test_bug_at_one_client_loses_no_result_of_another(tenant, stranger, shared):
    shared()
    ReportCursor.objects.update(completed_until=None)
    assert shared(fail=[stranger.pk]) == [tenant.pk, stranger.pk]
    assert compared() == {tenant.pk}
    assert take_each() == [(stranger.pk,)]


def test_clients_left_by_a_slow_task_can_be_claimed_at_once(tenant, stranger, shared):
    shared()
    ReportCursor.objects.update(completed_until=None)
    assert shared(slow=[tenant.pk]) == [tenant.pk]
    assert compared() == {tenant.pk}


def test_clients_of_a_task_that_took_long_get_tasks_of_their_own(tenant, stranger, monkeypatch):
    """None of them alone was slow."""
    asked, ticks = [], [0.0]

    def run(tenant_id):
        asked.append(tenant_id)
        ticks.append(periodic_work.SLOW_SECONDS * 0.6)

    monkeypatch.setattr("tenants.periodic_work.time.monotonic", lambda: sum(ticks))
    periodic_work.for_each(task_names.RECONCILE_CALLS, [1, 2, 3, 4], run)
    assert asked == [1, 2]
    assert take_each() == [(3,), (4,)]


def test_clients_who_share_an_import_share_the_linking(tenant, stranger, pbx, crm):
    telephony_tasks.sync_employees(tenant.pk, stranger.pk)
    (queued,) = [SignedPackage.loads(payload) for payload in OrmQ.objects.values_list("payload", flat=True)]
    assert (queued["func"], queued["args"]) == (task_names.LINK_USERS, (tenant.pk, stranger.pk))


def test_import_that_failed_is_not_followed_by_linking(tenant, stranger, pbx, crm, monkeypatch):
    save = sync.save

    def fail(client, *given, **named):
        if client.pk == tenant.pk:
            raise ValueError("a bug")
        save(client, *given, **named)

    monkeypatch.setattr(sync, "save", fail)
    telephony_tasks.sync_employees(stranger.pk, tenant.pk)
    queued = [SignedPackage.loads(payload) for payload in OrmQ.objects.order_by("pk").values_list("payload", flat=True)]
    assert [(one["func"], one["args"]) for one in queued] == [
        (task_names.SYNC_EMPLOYEES, (tenant.pk,)),
        (task_names.LINK_USERS, (stranger.pk,)),
    ]


def test_bug_in_one_clients_linking_leaves_the_next_one_a_task(tenant, stranger, pbx, crm, monkeypatch):
    monkeypatch.setattr("crm.user_linking.link", lambda *_given, **_named: 1 / 0)
    crm_tasks.link_users(tenant.pk, stranger.pk)
    queued = [SignedPackage.loads(payload) for payload in OrmQ.objects.order_by("pk").values_list("payload", flat=True)]
    assert [one["args"] for one in queued] == [(tenant.pk,), (stranger.pk,)]


@pytest.mark.one_database
def test_turns_that_come_within_seconds_come_together(tenant, clock):
    """A thousand clients an hour are one each three seconds."""
    add_clients(1000)
    telephony_tasks.sync_all()
    OrmQ.objects.all().delete()
    shares = []
    for _tick in range(30):
        clock.shift(timedelta(seconds=2))
        periodic_work.go_on([telephony_tasks.SYNC], now=timezone.now())
        shares += [len(SignedPackage.loads(row.payload)["args"]) for row in OrmQ.objects.all()]
        OrmQ.objects.all().delete()
    assert set(shares) == {telephony_tasks.SYNC.most_clients}
    assert 12 <= sum(shares) <= 20


def test_bug_at_one_client_leaves_the_next_one_a_task(tenant, stranger, shared):
    """The client gets one too: there it is reported as a failure, and a conflict runs again."""
    assert shared(fail=[tenant.pk]) == [tenant.pk]
    assert take_each() == [(tenant.pk,), (stranger.pk,)]


def test_slow_vendor_of_one_client_does_not_hold_up_the_next_one(tenant, stranger, shared):
    assert shared(slow=[tenant.pk]) == [tenant.pk]
    assert take_each() == [(stranger.pk,)]


def test_bug_at_the_only_client_of_a_task_is_raised():
    def fail(_tenant_id):
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        periodic_work.for_each(task_names.RECONCILE_CALLS, [1], fail)
