"""Two transactions of one client meet on PostgreSQL: none dies of a deadlock, and nothing is lost."""

import threading
import time

import pytest
from django.db import connection
from django.utils import timezone

from connector_project.operations.onboarding import offboarding
from crm import tasks as crm_tasks
from crm import user_linking
from crm.retailcrm.client import RetailCrmClient
from telephony import task_names, tasks
from telephony.uis.client import UisClient
from tenants.models import Connection, CrmUser, Employee, Tenant, VirtualNumber
from tests import needs, task_queue
from tests.conftest import CRM_HOST
from tests.fakes.retailcrm_marketplace import PartnerAccount
from tests.flows.test_incomplete_lists import codes_of
from tests.rules import publish_rules

pytestmark = [
    needs.two_connections,
    pytest.mark.django_db(transaction=True),
]
PEOPLE = 60


@pytest.fixture(autouse=True)
def _stranger_stays_as_it_is(stranger, twin_crm):
    before = codes_of(twin_crm), list(Employee.objects.filter(tenant=stranger).order_by("pk").values())
    yield
    assert (codes_of(twin_crm), list(Employee.objects.filter(tenant=stranger).order_by("pk").values())) == before


@pytest.fixture
def people(tenant, pbx, crm, run_queue):
    """Sixty employees, whose order by name is the reverse of the order in UIS's list."""
    for number in range(PEOPLE):
        pbx.add_employee(400000 - number, f"Антонов {PEOPLE - number:02d}", extension=f"{2000 + number}")
        crm.add_user(1000 + number, email=f"{number}@example.com")
    tasks.sync_employees(tenant.pk)
    run_queue()


@pytest.fixture
def meet():
    """Run functions at the same time, each in a thread with a connection of its own; return what they raised."""

    def run(*functions):
        errors = []

        def work(function):
            try:
                function()
            except Exception as exc:  # noqa: BLE001 -- the test asserts that there is none
                errors.append(exc)
            finally:
                connection.close()

        threads = [threading.Thread(target=work, args=[function]) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return errors

    return run


def wait_after(monkeypatch, owner, name, barrier):
    """Let a request wait for the other thread before its answer is used."""
    real = getattr(owner, name)

    def ask(self, *args):
        answer = real(self, *args)
        barrier.wait(timeout=10)
        return answer

    monkeypatch.setattr(owner, name, ask)


def slow_down(monkeypatch):
    """Let each row take a moment, so that both transactions are in the midst of their rows."""
    real = Employee.save

    def save(self, *args, **kwargs):
        time.sleep(0.002)
        real(self, *args, **kwargs)

    monkeypatch.setattr(Employee, "save", save)


LINKING = (crm_tasks.link_users, RetailCrmClient, "module")
POLLING = (tasks.poll_statuses, UisClient, "employee_statuses")


@pytest.mark.slow
@pytest.mark.parametrize(("task", "owner", "method"), [LINKING, POLLING])
def test_sync_meets_another_task(people, tenant, pbx, crm, meet, monkeypatch, task, owner, method):
    publish_rules(tenant, status_sync="BOTH")
    barrier = threading.Barrier(2)
    wait_after(monkeypatch, UisClient, "statuses", barrier)
    wait_after(monkeypatch, owner, method, barrier)
    slow_down(monkeypatch)
    for round_number in range(2):
        for number in range(PEOPLE):
            row = pbx.employees[400000 - number]
            row["email"], row["status_id"] = f"{number}@example.com", 2 + round_number % 2
            row["last_name"] = f"Антонов {PEOPLE - number:02d} {round_number}"
        assert meet(lambda: tasks.sync_employees(tenant.pk), lambda: task(tenant.pk)) == []
    monkeypatch.undo()
    task_queue.drain(pick=lambda name: name == task_names.LINK_USERS)
    assert Employee.objects.filter(tenant=tenant, crm_user_id__gte=1000).count() == PEOPLE
    assert len(codes_of(crm)) == PEOPLE + 2


def test_two_syncs_find_the_same_new_rows(tenant, pbx, meet, monkeypatch):
    wait_after(monkeypatch, UisClient, "statuses", threading.Barrier(2))
    for number in range(3):
        pbx.add_employee(500000 + number, f"Новый {number}", extension=f"{3000 + number}")
        pbx.add_number(f"7495000010{number}", name="Новый")
        pbx.statuses[9100 + number] = pbx.statuses[9001] | {"id": 9100 + number}
        assert meet(*[lambda: tasks.sync_employees(tenant.pk)] * 2) == []
        assert Employee.objects.filter(tenant=tenant, uis_id=500000 + number).count() == 1
    assert VirtualNumber.objects.filter(tenant=tenant).count() == 5


def test_link_meets_disconnect(tenant, crm, meet, monkeypatch):
    crm.add_user(29, email="anna@example.com")
    is_linking, real = threading.Event(), user_linking.sync_crm_users

    def store(*args, **kwargs):
        is_linking.set()
        time.sleep(0.2)  # The other transaction takes its first lock.
        return real(*args, **kwargs)

    monkeypatch.setattr(user_linking, "sync_crm_users", store)

    def leave():
        assert is_linking.wait(timeout=10)
        offboarding.offboard(Tenant.objects.get(pk=tenant.pk), now=timezone.now())

    assert meet(lambda: crm_tasks.link_users(tenant.pk), leave) == []
    assert Tenant.objects.get(pk=tenant.pk).offboarded_at is not None
    assert [module["active"] for module in crm.modules.values()] == [False]
    assert CrmUser.objects.filter(tenant=tenant, crm_id=29).exists()


def test_marketplace_meets_disconnect(client, tenant, crm, meet, monkeypatch, settings):
    account = PartnerAccount()
    settings.RETAILCRM_MODULE_SECRET = account.secret
    form = account.form(crm.key, f"https://{CRM_HOST}")
    is_granting, real = threading.Event(), Connection.restore

    def restore(self):
        is_granting.set()
        time.sleep(0.2)
        real(self)

    monkeypatch.setattr(Connection, "restore", restore)
    answers = []

    def leave():
        assert is_granting.wait(timeout=10)
        offboarding.offboard(Tenant.objects.get(pk=tenant.pk), now=timezone.now())

    def register():
        answers.append(client.post("/connect/retailcrm/register/", form).status_code)

    assert (meet(register, leave), answers) == ([], [201])
    assert Tenant.objects.get(pk=tenant.pk).offboarded_at is not None
