"""One registration of a client's module at a time: the CRM ends with the newest list, and so does what we remember."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone

from connector_project.core.check_results import CheckFailed
from connector_project.core.models import WorkerHeartbeat
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import steps
from crm import integration_module, module_contents, module_lease
from crm import tasks as crm_tasks
from crm.employee_mapping import actions
from crm.retailcrm.client import RetailCrmClient
from telephony import tasks
from tenants.models import CrmConnection, CrmUser, Employee, Tenant
from tests.conftest import ANNA
from tests.flows.test_incomplete_lists import codes_of

pytestmark = pytest.mark.sampled(2)

FIRST = {(27, "101"), (28, "102")}
CLAIM = UUID(int=1)
NEWEST = {*FIRST, (29, "103"), (30, "104")}


@pytest.fixture(autouse=True)
def _stranger_stays_as_it_is(stranger, twin_crm):
    before = codes_of(twin_crm)
    yield
    assert codes_of(twin_crm) == before


@pytest.fixture
def candidates(tenant, pbx, crm, run_queue):
    """Two employees without users, and two users without an employee."""
    pbx.add_employee(300004, "Белова", extension="104")
    for user_id in (29, 30):
        crm.add_user(user_id, first_name=f"Кто-то {user_id}")
    tasks.sync_all()
    run_queue()


def link(tenant, uis_id, user_id):
    employee = Employee.objects.get(tenant=tenant, uis_id=uis_id)
    actions.link(employee, CrmUser.objects.get(tenant=tenant, crm_id=user_id))


def unlink(tenant, uis_id):
    actions.unlink(Employee.objects.get(tenant=tenant, uis_id=uis_id))


def remembered(tenant):
    return {tuple(pair) for pair in CrmConnection.objects.get(tenant=tenant).registered_module["codes"]}


def meanwhile(monkeypatch, act, *, method="edit_module", is_before=True):
    """Run `act` once, while a request of this kind is on its way to the CRM, or its answer on its way to us."""
    real, todo = getattr(RetailCrmClient, method), [act]

    def run():
        if todo:
            todo.pop()()

    def send(self, *args):
        if is_before:
            run()
        answer = real(self, *args)
        run()
        return answer

    monkeypatch.setattr(RetailCrmClient, method, send)


@pytest.mark.parametrize("second", ["link_users", "register_module"])
@pytest.mark.parametrize("first", ["link_users", "register_module"])
def test_older_list_that_arrives_last_does_not_stay(candidates, crm, tenant, run_queue, monkeypatch, first, second):
    link(tenant, ANNA, 29)

    def newer():
        link(tenant, 300004, 30)
        getattr(crm_tasks, second)(tenant.pk)

    meanwhile(monkeypatch, newer)
    getattr(crm_tasks, first)(tenant.pk)
    run_queue()
    assert (codes_of(crm), remembered(tenant)) == (NEWEST, NEWEST)


@pytest.mark.parametrize("older", ["link_users", "register_module"])
def test_older_list_that_is_sent_between_the_newest_and_its_answer_does_not_stay(
    candidates, crm, tenant, run_queue, monkeypatch, older
):
    link(tenant, ANNA, 29)
    codes = module_contents.codes(tenant)  # what another worker read before the next link
    link(tenant, 300004, 30)

    def arrive():
        with monkeypatch.context() as patched:
            patched.setattr(module_contents, "codes", lambda _tenant: codes)
            patched.setattr(integration_module, "manual_codes", lambda *_args: [])
            getattr(crm_tasks, older)(tenant.pk)

    meanwhile(monkeypatch, arrive, is_before=False)
    crm_tasks.link_users(tenant.pk)
    run_queue()
    assert (codes_of(crm), remembered(tenant)) == (NEWEST, NEWEST)


def test_list_sent_by_a_worker_without_its_lease_does_not_stay(candidates, crm, tenant, run_queue, monkeypatch):
    link(tenant, ANNA, 29)

    def newer():
        CrmConnection.objects.filter(tenant=tenant).update(module_claimed_until=timezone.now())
        link(tenant, 300004, 30)
        crm_tasks.link_users(tenant.pk)

    meanwhile(monkeypatch, newer)
    crm_tasks.link_users(tenant.pk)
    run_queue()
    assert (codes_of(crm), remembered(tenant)) == (NEWEST, NEWEST)
    assert Employee.objects.filter(tenant=tenant, linked_by="EXTENSION").count() == 0


def test_worker_that_lost_its_lease_before_sending_sends_nothing(candidates, crm, tenant, run_queue, monkeypatch):
    def newer():
        CrmConnection.objects.filter(tenant=tenant).update(module_claimed_until=timezone.now())
        link(tenant, ANNA, 29)
        crm_tasks.link_users(tenant.pk)
        CrmConnection.objects.filter(tenant=tenant).update(module_claim=None)

    link(tenant, 300004, 30)
    meanwhile(monkeypatch, newer, method="users")
    crm_tasks.link_users(tenant.pk)
    run_queue()
    assert (codes_of(crm), remembered(tenant)) == (NEWEST, NEWEST)


def test_list_whose_answer_was_lost_is_not_taken_for_the_remembered_one(candidates, crm, crm_world, tenant, run_queue):
    """The CRM took it; afterwards our list is again what we remember, and must still be sent."""
    link(tenant, ANNA, 29)
    crm_world.break_down("cut", path_part="/edit", times=1)
    run_queue()
    assert codes_of(crm) == {*FIRST, (29, "103")}
    Employee.objects.filter(tenant=tenant, uis_id=ANNA).update(crm_user_id=None, linked_by="")
    crm_tasks.link_users(tenant.pk)
    anna = Employee.objects.get(tenant=tenant, uis_id=ANNA)
    assert (anna.crm_user_id, codes_of(crm), remembered(tenant)) == (None, FIRST, FIRST)


def test_claim_of_a_dead_worker_ends_and_its_work_is_done(candidates, crm, tenant, run_queue, later):
    until = timezone.now() + timedelta(minutes=3)
    CrmConnection.objects.filter(tenant=tenant).update(module_claim=CLAIM, module_claimed_until=until)
    link(tenant, ANNA, 29)
    run_queue()
    assert codes_of(crm) == FIRST
    later(timedelta(minutes=4))
    assert codes_of(crm) == {*FIRST, (29, "103")}
    assert CrmConnection.objects.filter(tenant=tenant, module_claimed_until=None, is_module_wanted=False).exists()


def test_refused_list_is_sent_again_and_the_claim_is_free(candidates, crm, crm_world, tenant, run_queue):
    link(tenant, ANNA, 29)
    crm_world.break_down("503", path_part="/edit", times=1)
    run_queue()
    assert codes_of(crm) == FIRST
    crm_tasks.link_users(tenant.pk)
    assert codes_of(crm) == {*FIRST, (29, "103")}


def test_unchanged_list_is_not_sent_after_another_run(candidates, crm, crm_world, tenant, run_queue, monkeypatch):
    meanwhile(monkeypatch, lambda: crm_tasks.link_users(tenant.pk), method="users")
    crm_world.requests.clear()
    crm_tasks.link_users(tenant.pk)
    run_queue()
    assert [request for request in crm_world.requests if request.method == "POST"] == []
    reads = [request for request in crm_world.requests if request.path.endswith("/users")]
    assert len(reads) == 2  # the second run once more, after the first


@pytest.mark.parametrize("is_freed", [True, False])
def test_activation_waits_for_its_turn(candidates, crm, tenant, monkeypatch, is_freed):
    held = CrmConnection.objects.filter(tenant=tenant)
    held.update(module_claim=CLAIM, module_claimed_until=timezone.now() + timedelta(minutes=3))
    monkeypatch.setattr(module_lease, "PATIENCE_SECONDS", 60.0 if is_freed else 0.01)

    def sleep(_seconds):
        if is_freed:
            held.filter(module_claim=CLAIM).update(module_claim=None, module_claimed_until=None)

    monkeypatch.setattr(module_lease.time, "sleep", sleep)
    Employee.objects.filter(tenant=tenant, uis_id=ANNA).update(crm_user_id=29, linked_by="MANUAL")
    fresh = Tenant.objects.select_related("uis", "crm").get(pk=tenant.pk)
    if is_freed:
        steps.run_step(fresh, Activation.Step.LINK, now=timezone.now())
        assert codes_of(crm) == {*FIRST, (29, "103")}
    else:
        with pytest.raises(CheckFailed):
            steps.run_step(fresh, Activation.Step.LINK, now=timezone.now())
        assert codes_of(crm) == FIRST


def test_person_unlinked_while_the_users_are_read_stays_unlinked(candidates, crm, tenant, run_queue, monkeypatch):
    link(tenant, ANNA, 29)
    run_queue()

    def unlinked():
        with transaction.atomic():
            unlink(tenant, ANNA)
        crm_tasks.link_users(tenant.pk)

    meanwhile(monkeypatch, unlinked, method="users")
    crm_tasks.link_users(tenant.pk)
    run_queue()
    anna = Employee.objects.get(tenant=tenant, uis_id=ANNA)
    assert (anna.crm_user_id, codes_of(crm), remembered(tenant)) == (None, FIRST, FIRST)


@pytest.mark.parametrize("beats", [False, True])
def test_claim_of_a_worker_whose_heartbeats_have_stopped_is_taken(
    candidates, crm, tenant, run_queue, monkeypatch, beats
):
    """A worker that was killed keeps nobody waiting for its lease: an activation would fail meanwhile."""
    monkeypatch.setattr(module_lease, "PATIENCE_SECONDS", 0.0)
    now = timezone.now()
    last_seen_at = now if beats else now - timedelta(minutes=1)
    WorkerHeartbeat.objects.create(name="killed", queue="fast", last_seen_at=last_seen_at)
    CrmConnection.objects.filter(tenant=tenant).update(
        module_claim=CLAIM, module_claimed_by="killed", module_claimed_until=now + timedelta(minutes=2)
    )
    Employee.objects.filter(tenant=tenant, uis_id=ANNA).update(crm_user_id=29, linked_by="MANUAL")
    fresh = Tenant.objects.select_related("uis", "crm").get(pk=tenant.pk)
    if beats:
        with pytest.raises(CheckFailed):
            steps.run_step(fresh, Activation.Step.LINK, now=now)
        return
    steps.run_step(fresh, Activation.Step.LINK, now=now)
    assert codes_of(crm) == {*FIRST, (29, "103")}


def test_registration_of_a_worker_that_was_killed_is_done_by_the_next_sweep(candidates, crm, tenant, run_queue):
    WorkerHeartbeat.objects.create(name="killed", queue="fast", last_seen_at=timezone.now() - timedelta(minutes=1))
    CrmConnection.objects.filter(tenant=tenant).update(
        module_claim=CLAIM, module_claimed_by="killed", module_claimed_until=timezone.now() + timedelta(minutes=2)
    )
    Employee.objects.filter(tenant=tenant, uis_id=ANNA).update(crm_user_id=29, linked_by="MANUAL")
    crm_tasks.enqueue_due_work()
    run_queue()
    assert codes_of(crm) == {*FIRST, (29, "103")}
