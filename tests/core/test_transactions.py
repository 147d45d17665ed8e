"""Transactions that the database breaks off are run again, and nothing remote is done twice by that."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import responses
from django.contrib import admin
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.http import HttpResponse
from django.utils import timezone

from connector_project.core import exchanges, qcluster_supervisor, transactions
from connector_project.core.models import RateLimitSlot
from connector_project.operations.admin import tenants as tenants_admin
from connector_project.operations.erasure import run as erasure
from connector_project.operations.models import Activation, Erasure
from connector_project.operations.onboarding import activation, offboarding
from crm import callbacks, command_requests, commands
from crm.models import Command, UnknownId
from telephony import bulk_action_rows, bulk_actions, outgoing_requests, task_names
from telephony.calls import manual, steps
from telephony.models import BulkAction, Call, CallLogEntry, Notification, RequestedCall
from telephony.models.call_queryset import CallQuerySet
from telephony.webhooks import process
from tenants.models import AuditLogEntry, CheckRun, CrmConnection, Tenant
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER

pytestmark = [pytest.mark.sql, pytest.mark.slow]


class Driver(Exception):
    def __init__(self, code):
        self.pgcode = code


def conflict(code="40P01"):
    exc = OperationalError("broken off")
    exc.__cause__ = Driver(code)
    return exc


def fail_first(function, *, times=1, code="40P01"):
    """Return the function, which the database breaks off the first times, after it has done its work."""
    left = iter(range(times))

    def run(*args, **kwargs):
        result = function(*args, **kwargs)
        if next(left, None) is not None:
            raise conflict(code)
        return result

    return run


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, transactional_db):
    monkeypatch.setattr(transactions, "PAUSE_SECONDS", 0)


def run_task(name, *args):
    qcluster_supervisor.TaskLocator.locate(name)(*args)


def run_in_threads(work, *arguments):
    """Run a function once for each tuple of arguments, all at the same time; raise what one of them raises."""

    def run(arguments):
        try:
            work(*arguments)
        finally:
            connection.close()

    with ThreadPoolExecutor() as pool:
        list(pool.map(run, arguments))


def test_two_transactions_that_wait_for_each_other_both_succeed():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time.")
    RateLimitSlot.objects.bulk_create([RateLimitSlot(name=name, next_slot_at=0) for name in ("a", "b")])
    both_hold_one, tries = threading.Barrier(2), []

    @transactions.atomic
    def count(first, second):
        tries.append(first)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL deadlock_timeout = '20ms'")
        RateLimitSlot.objects.filter(name=first).update(next_slot_at=F("next_slot_at") + 1)
        if len(tries) <= 2:
            both_hold_one.wait(5)
        RateLimitSlot.objects.filter(name=second).update(next_slot_at=F("next_slot_at") + 1)

    run_in_threads(count, ("a", "b"), ("b", "a"))
    assert len(tries) == 3
    assert set(RateLimitSlot.objects.values_list("next_slot_at", flat=True)) == {2}


@pytest.mark.parametrize("code", ["40P01", "40001"])
def test_conflict_is_run_again_a_few_times(code):
    assert transactions.run_again_on_conflict(fail_first(lambda: 7, times=3, code=code)) == 7
    with pytest.raises(OperationalError):
        transactions.run_again_on_conflict(fail_first(lambda: 7, times=4, code=code))


def test_locked_sqlite_is_a_conflict():
    assert transactions.is_conflict(OperationalError("database is locked")) is (connection.vendor == "sqlite")
    assert not transactions.is_conflict(OperationalError("server closed the connection unexpectedly"))
    assert not transactions.is_conflict(ValueError())


def test_part_of_a_transaction_is_not_run_again():
    with pytest.raises(OperationalError), transaction.atomic():
        transactions.run_again_on_conflict(fail_first(lambda: 7))


@pytest.fixture
def click(tenant):
    """A click-to-call that waits for its worker."""
    request = {"userId": "27", "code": "101", "phone": CONTACT}
    command = commands.receive(tenant, Command.Kind.MAKE_CALL, request, now=timezone.now())
    assert command.state == "RECEIVED"
    return command


def test_click_whose_result_meets_a_conflict_is_not_dialled_again(click, uis_world, monkeypatch):
    uis_world.requests.clear()
    monkeypatch.setattr(commands, "_finish", fail_first(lambda *args, **kwargs: None, times=3))
    run_task(commands.TASK, click.pk)
    assert len(uis_world.requests) == 1
    click.refresh_from_db()
    assert click.state == "RUNNING"  # The sweep ends it as NOT_REPEATED.
    monkeypatch.undo()
    commands.resume_pending(now=click.next_attempt_at)
    click.refresh_from_db()
    assert (click.state, click.reason, len(uis_world.requests)) == ("FAILED", "NOT_REPEATED", 1)


def test_click_whose_claim_meets_a_conflict_is_dialled_once(click, uis_world, monkeypatch):
    uis_world.requests.clear()

    @transaction.atomic
    def claim(*args, **kwargs):
        return real(*args, **kwargs)

    real = fail_first(commands._claim)
    monkeypatch.setattr(commands, "_claim", claim)
    run_task(commands.TASK, click.pk)
    click.refresh_from_db()
    assert (click.state, len(uis_world.requests)) == ("DONE", 1)


def test_request_of_the_crm_that_meets_a_conflict_is_accepted(tenant, monkeypatch):
    monkeypatch.setattr(command_requests, "prepare", fail_first(command_requests.prepare))
    request = {"userId": "27", "code": "101", "phone": CONTACT}
    assert commands.receive(tenant, Command.Kind.MAKE_CALL, request, now=timezone.now()).state == "RECEIVED"
    assert (Command.objects.count(), task_queue.lose()) == (1, 1)


def test_result_of_an_upload_that_meets_a_conflict_is_written(notify, pbx, crm, tenant, monkeypatch):
    """Otherwise the call would be sent again after its lease."""
    monkeypatch.setattr(steps, "log_many", fail_first(steps.log_many, times=2))
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    assert (Call.objects.get().state, len(crm.uploads)) == ("UPLOADED", 1)


def test_event_that_meets_a_conflict_opens_its_pop_up_at_once(notify, pbx, crm, tenant, monkeypatch):
    monkeypatch.setattr(process, "_decide", fail_first(process._decide))
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()), works=False)
    run_task(task_names.PROCESS_NOTIFICATION, Notification.objects.get().pk)
    assert Notification.objects.get().outcome == "DONE"
    assert len(crm.events) == 1


def test_task_that_meets_a_conflict_runs_again(tenant, pbx, monkeypatch):
    from telephony.staff import sync

    ran = []
    monkeypatch.setattr(sync, "sync", fail_first(lambda tenant, *, now, **_more: ran.append(tenant.pk)))
    run_task(task_names.SYNC_EMPLOYEES, tenant.pk)
    assert ran == [tenant.pk, tenant.pk]


def test_unknown_task_is_not_found():
    assert qcluster_supervisor.TaskLocator.locate("telephony.tasks.no_such_task") is None
    assert qcluster_supervisor.TaskLocator.locate("telephony.tasks.upload_nothing.x") is None


@pytest.mark.parametrize(("times", "status"), [(0, 200), (1, 200), (3, 200), (4, 503)])
@pytest.mark.parametrize("name", ["_changeform_view", "_delete_view"])
def test_save_in_the_admin_that_meets_a_conflict(admin_client, tenant, monkeypatch, times, status, name):
    """It is saved by the next try; after the last one the person is asked to send it again."""
    monkeypatch.setattr(admin.ModelAdmin, name, fail_first(lambda *_args: HttpResponse("saved"), times=times))
    action = "change" if name == "_changeform_view" else "delete"
    answer = admin_client.post(f"/admin/tenants/tenant/{tenant.pk}/{action}/", headers={"Accept-Language": "en"})
    assert answer.status_code == status
    if status == 503:
        assert answer.headers["Content-Language"] == "en"
        assert "503.html" in [template.name for template in answer.templates]


def test_ids_unknown_to_the_crm_are_counted_once(tenant, monkeypatch):
    """The pop-up was sent before: its task is not run again, the count is."""
    rows = UnknownId.objects
    monkeypatch.setattr(rows, "get_or_create", fail_first(rows.get_or_create))
    UnknownId.record(tenant, {UnknownId.Kind.CODE: ["101"]}, now=timezone.now())
    assert UnknownId.objects.get().count == 1


@pytest.mark.parametrize("code", ["40P01", "40001"])
def test_activation_step_that_meets_a_conflict_goes_on_at_once(tenant, monkeypatch, code):
    """Its task is run again, and gets the claimed row again."""
    activation.start(tenant, now=timezone.now(), is_forced=True)
    monkeypatch.setattr(activation.steps, "run_step", fail_first(activation.steps.run_step, code=code))
    run_task(activation.TASK, tenant.pk)
    assert Activation.objects.get().step == Activation.Step.CRM


def test_portion_of_a_bulk_action_that_meets_a_conflict_is_done_at_once(notify, pbx, crm, tenant, monkeypatch):
    tenant.pause()
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    bulk_actions.start("SKIP", {"pks": str(Call.objects.get().pk)}, by=None, now=timezone.now())
    real = fail_first(bulk_action_rows.manual.skip)
    monkeypatch.setattr(bulk_action_rows.manual, "skip", real)
    run_task(task_names.RUN_BULK_ACTION)
    assert (BulkAction.objects.get().state, Call.objects.get().state) == ("DONE", "SKIPPED")


def test_erasure_that_meets_a_conflict_goes_on_at_once(tenant, monkeypatch):
    row = erasure.start(tenant, CONTACT, now=timezone.now())
    monkeypatch.setattr(erasure, "_erase", fail_first(erasure._erase))
    run_task(erasure.TASK, row.pk)
    assert Erasure.objects.get().state == "CHECKING"


def test_vendor_that_answers_while_calls_meet_a_conflict_is_heard(notify, pbx, crm, tenant, monkeypatch):
    """The CRM took the upload: that is written, and not sent again after the lease."""
    tenant.crm.record_failure(wait=None, is_live=False, now=timezone.now())
    CrmConnection.objects.update(retry_at=timezone.now())
    monkeypatch.setattr(CallQuerySet, "_make_due", fail_first(CallQuerySet._make_due))
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    assert (Call.objects.get().state, len(crm.uploads)) == ("UPLOADED", 1)


def test_client_whose_leaving_meets_a_conflict_is_disconnected(tenant, monkeypatch):
    monkeypatch.setattr(offboarding, "_drop_waiting", fail_first(offboarding._drop_waiting))
    offboarding.offboard(tenant, now=timezone.now())
    assert AuditLogEntry.objects.filter(action="OFFBOARDED").count() == 1


@pytest.mark.parametrize("is_active", [True, False])
def test_callback_that_meets_a_conflict_is_done(client, tenant, monkeypatch, is_active):
    if is_active:
        tenant.crm.suspend("telephony_off", "off", subject="switched_off", now=timezone.now())
    monkeypatch.setattr(callbacks, "_note_address", fail_first(lambda *_args: None))
    form = {"clientId": tenant.crm.client_id, "activity": json.dumps({"active": is_active, "freeze": False})}
    assert client.post(f"/hooks/retailcrm/{tenant.crm.hook}/activity/", form).status_code == 200
    tenant.crm.refresh_from_db()
    assert (tenant.crm.denied_code == "") is is_active
    assert Command.objects.get().state == "DONE"


def test_callback_of_a_client_who_has_just_left_changes_nothing(tenant, monkeypatch):
    """They were disconnected while it was on its way."""
    Tenant.objects.filter(pk=tenant.pk).update(offboarded_at=timezone.now())
    command = callbacks.activity(tenant, {"activity": '{"active": false}'}, now=timezone.now())
    assert (command.state, CrmConnection.objects.get().denials) == ("REFUSED", {})


def test_page_of_the_admin_that_meets_a_conflict_is_made_again(admin_client, tenant, monkeypatch):
    monkeypatch.setattr(tenants_admin, "_run", fail_first(tenants_admin._run))
    answer = admin_client.post(f"/admin/tenants/tenant/{tenant.pk}/action/check/")
    assert answer.status_code == 302
    assert CheckRun.objects.filter(requested_at__isnull=False).count() == 1


def test_action_of_a_list_that_meets_a_conflict_is_done(admin_client, notify, pbx, crm, tenant, monkeypatch):
    tenant.pause()
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    monkeypatch.setattr(manual, "log_per_tenant", fail_first(manual.log_per_tenant))
    form = {"action": "retry", "_selected_action": [Call.objects.get().pk]}
    assert admin_client.post("/admin/telephony/call/", form).status_code == 302
    assert CallLogEntry.objects.filter(step="RETRIED").count() == 1


def test_outgoing_requests_are_kept_after_a_deadlock(tenant, monkeypatch):
    method = RequestedCall.objects.bulk_create
    monkeypatch.setattr(RequestedCall.objects, "bulk_create", fail_first(method))
    url = f"{tenant.crm.address}/api/x"
    with responses.RequestsMock() as mock, outgoing_requests.kept(tenant.pk, sessions=[1]):
        mock.get(url, body="{}")
        exchanges.recorded(secret="k")("retailCRM", "GET", url)
    assert [(one.request.method, one.session_id) for one in RequestedCall.objects.all()] == [("GET /api/x", 1)]
