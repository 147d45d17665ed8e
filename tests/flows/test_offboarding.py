"""Disconnecting a client: nothing goes out or comes in, the keys are deleted at once, the data after retention."""

import dataclasses
import inspect
import json
import pydoc
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from connector_project.core import check_results
from connector_project.core.secret_tokens import digest
from connector_project.operations import schedules
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation, offboarding, steps
from crm import client_factory, integration_module, key_verification
from crm import tasks as crm_tasks
from crm.models import Command, Popup, UnknownId
from crm.retailcrm.client import RetailCrmClient
from telephony import tasks as uis_tasks
from telephony.models import Call, CallLogEntry, Notification
from tenants.models import AuditLogEntry, CheckRun, CrmConnection, Employee, Tenant, UisConnection, VirtualNumber
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.rules import publish_rules

RETENTION = timedelta(days=30)
EVERY_TASK = [
    task
    for tasks in (uis_tasks, crm_tasks)
    for name, task in inspect.getmembers(tasks, inspect.isfunction)
    if name[0] != "_" and task.__module__ == tasks.__name__ and [*inspect.signature(task).parameters] == ["tenant_id"]
]
EVERY_SCHEDULE = [pydoc.locate(name) for name in schedules.SCHEDULES]


@pytest.fixture
def offboard(tenant):
    """Disconnect the client."""
    return lambda: offboarding.offboard(Tenant.objects.get(pk=tenant.pk), now=timezone.now())


@pytest.fixture
def requests_from_now(uis_world, crm_world):
    """Clear the recorded requests; return a function that lists those sent from now on."""

    def begin():
        uis_world.requests.clear()
        crm_world.requests.clear()
        return lambda: [*uis_world.requests, *crm_world.requests]

    return begin


@pytest.fixture
def missed(pbx):
    """Create the notification of a missed call."""
    return lambda contact=CONTACT: pbx.call(contact=contact, number=NUMBER, rings=[IVAN]).notification("lost_call")


def column_values(table, column):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")  # noqa: S608 -- table and column names are constants of this module
        return [row[0] for row in cursor.fetchall()]


def reload(tenant):
    return Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk)


def test_module_is_switched_off_and_keeps_manual_extensions(offboard, crm, tenant, run_queue):
    stored = crm.modules[integration_module.code(tenant)]
    stored["integrations"]["telephony"]["additionalCodes"].append({"userId": 77, "code": "777"})
    uis_tasks.sync_all()
    run_queue()
    offboarded = offboard()
    stored = crm.modules[integration_module.code(tenant)]
    assert (stored["active"], offboarded.refusal) == (False, "")
    assert stored["integrations"]["telephony"]["additionalCodes"] == [{"userId": 77, "code": "777"}]
    assert tenant.crm.hook in stored["baseUrl"]


def test_module_of_version_4_is_switched_off(offboard, crm, tenant):
    crm.serves_v5 = False
    key_verification.verify_crm_key(tenant.crm)
    integration_module.register(tenant, client_factory.crm_client(tenant.crm), now=timezone.now(), is_forced=True)
    assert crm.settings_v4[integration_module.code(tenant)]["active"] is True
    assert offboard().refusal == ""
    assert crm.settings_v4[integration_module.code(tenant)]["active"] is False


def test_keys_are_deleted_at_once(offboard, tenant):
    known = reload(tenant)
    offboard()
    assert column_values("tenants_uisconnection", "access_token") == [""]
    assert column_values("tenants_crmconnection", "key") == [""]
    now = reload(tenant)
    assert now.crm.registered_module == {}
    assert now.crm.client_id != known.crm.client_id
    assert now.uis.hook != known.uis.hook
    assert (now.uis.old_hook_digest, now.uis.old_hook_until, now.one_time_token_digest) == (None, None, None)
    assert now.activation_token != known.activation_token
    assert now.activation_expires_at <= timezone.now()
    assert (now.offboarded_at is not None, now.activated_at, now.is_live) == (True, None, False)


def test_hooks_are_not_found(client, offboard, tenant, hook, missed):
    UisConnection.objects.update(old_hook_digest=digest("before"), old_hook_until=timezone.now() + timedelta(days=1))
    offboard()
    form = {"clientId": tenant.crm.client_id, "code": "101", "phone": CONTACT, "status": "busy"}
    unknown_page = client.get("/nothing/here/").content
    crm_hooks = [f"/hooks/retailcrm/{tenant.crm.hook}/{name}/" for name in ("make-call", "activity", "settings")]
    for address in (hook, f"{hook}lost_call/", "/hooks/uis/before/"):
        answer = client.post(address, missed(), content_type="application/json")
        assert (answer.status_code, answer.content) == (404, unknown_page)
    for address in (*crm_hooks, f"/hooks/retailcrm/{tenant.crm.hook}/change-user-status/"):
        assert client.post(address, form).status_code == 404
    assert (Notification.objects.count(), Command.objects.count()) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("is_paused", [False, True])
def test_nothing_is_sent_after_disconnecting(
    client, offboard, tenant, hook, notify, pbx, missed, requests_from_now, later, is_paused
):
    """A pop-up, a missed and an answered call, a click and a status are pending when the tenant is disconnected."""
    uis_tasks.sync_all()
    Tenant.objects.update(is_paused=is_paused)
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 20)])
    notify(call.notification("waiting"), missed("79990000002"), call.notification("call_end"), works=False)
    form = {"clientId": tenant.crm.client_id, "code": "101", "userId": "27", "phone": CONTACT, "status": "busy"}
    for name in ("make-call", "change-user-status"):
        client.post(f"/hooks/retailcrm/{tenant.crm.hook}/{name}/", form)
    offboard()
    new_requests = requests_from_now()
    for minutes in (0, 1, 5, 60, 24 * 60):
        later(timedelta(minutes=minutes))
        for schedule in EVERY_SCHEDULE:
            schedule()
        task_queue.drain()
    assert new_requests() == []
    assert not Popup.objects.exists()
    assert set(Command.objects.values_list("state", "reason")) <= {("FAILED", "NOT_ACTIVE"), ("REFUSED", "NOT_ACTIVE")}
    assert set(Call.objects.values_list("state", flat=True)) == {"READY", "FETCHING_LEGS"}
    assert not Notification.objects.filter(outcome="QUEUED").exists()


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.__name__)
def test_queued_task_sends_no_request(offboard, tenant, task, notify, missed, requests_from_now):
    notify(missed(), works=False)
    offboard()
    new_requests = requests_from_now()
    task(tenant.pk)
    task_queue.drain()
    assert new_requests() == []
    assert reload(tenant).offboarded_at is not None


def test_claimed_call_is_not_sent_without_a_key(offboard, tenant, notify, missed, requests_from_now):
    from crm import uploads

    notify(missed(), works=False)
    task_queue.process_notifications()
    uis_tasks.evaluate_calls(tenant.pk)
    batch = Call.objects.claim(tenant.pk, Call.State.READY, limit=10, now=timezone.now())
    offboard()
    new_requests = requests_from_now()
    uploads.upload(list(Call.objects.filter(pk__in=[call.pk for call in batch]).with_related()), now=timezone.now())
    assert new_requests() == []
    assert Call.objects.get().state == "READY"


@pytest.mark.parametrize(("is_before_switch_off", "expected"), [(True, (1, "UPLOADED")), (False, (0, "READY"))])
def test_concurrent_upload_is_completed_or_dropped(
    offboard, tenant, crm, notify, missed, monkeypatch, later, is_before_switch_off, expected
):
    """The upload request reaches the CRM before or after our module is switched off."""
    real = RetailCrmClient.upload_calls

    def offboard_meanwhile(self, calls):
        answer = real(self, calls) if is_before_switch_off else None
        offboard()
        return answer or real(self, calls)

    monkeypatch.setattr(RetailCrmClient, "upload_calls", offboard_meanwhile)
    notify(missed())
    later(timedelta(minutes=5))
    assert (len(crm.calls), Call.objects.get().state) == expected
    assert reload(tenant).crm.key == ""
    assert crm.modules[integration_module.code(tenant)]["active"] is False


def test_concurrent_registration_is_undone(offboard, tenant, crm, run_queue, monkeypatch):
    real, sent_states = RetailCrmClient.edit_module, []

    def offboard_meanwhile(self, sent):
        sent_states.append(sent.is_active)
        if len(sent_states) == 1:
            offboard()
        return real(self, sent)

    monkeypatch.setattr(RetailCrmClient, "edit_module", offboard_meanwhile)
    CrmConnection.objects.update(registered_module={})
    uis_tasks.sync_all()
    run_queue()
    assert sent_states == [True, False, False]
    assert crm.modules[integration_module.code(tenant)]["active"] is False
    assert (reload(tenant).crm.registered_module, reload(tenant).crm.registered_at) == ({}, None)


def test_concurrent_activation_does_not_reactivate(offboard, tenant, run_queue):
    Tenant.objects.update(activated_at=None)
    activation.start(reload(tenant), now=timezone.now())
    for _step in range(2):
        operations_tasks.run_activation_step(tenant.pk)
    offboard()
    run_queue()
    assert (reload(tenant).activated_at, Activation.objects.count(), CheckRun.objects.count()) == (None, 0, 0)


def test_last_step_of_an_activation_needs_the_keys(offboard, tenant):
    loaded_before = reload(tenant)
    offboard()
    with pytest.raises(check_results.CheckFailed):
        steps.run_step(loaded_before, Activation.Step.ON, now=timezone.now())
    assert reload(tenant).is_live is False
    UisConnection.objects.update(access_token="uis-token")
    with pytest.raises(check_results.CheckFailed):
        steps.run_step(loaded_before, Activation.Step.ON, now=timezone.now())


@pytest.mark.parametrize("kind", ["503", "timeout", "html", "500"])
def test_unavailable_crm_does_not_stop_disconnecting(offboard, tenant, crm, crm_world, kind):
    crm_world.break_down(kind)
    offboarded = offboard()
    assert offboarded.refusal
    assert offboarded.refusal.rstrip(".") in " ".join(offboarded.lines)
    assert reload(tenant).crm.key == ""
    assert crm.modules[integration_module.code(tenant)]["active"] is True


def test_denied_access_to_the_crm_does_not_stop_disconnecting(offboard, tenant, crm):
    crm.key = "another"
    offboarded = offboard()
    assert offboarded.refusal.rstrip(".")
    assert offboarded.refusal.rstrip(".") in " ".join(offboarded.lines)
    assert column_values("tenants_crmconnection", "key") == [""]


def test_tenant_without_a_module_is_disconnected(pbx, crm, requests_from_now, db):
    from tenants import onboarding

    tenant = onboarding.create_tenant(
        onboarding.NewTenant(name="Новый", crm_url=f"https://{crm.host}"), now=timezone.now()
    )
    new_requests = requests_from_now()
    assert offboarding.offboard(tenant, now=timezone.now()).refusal == ""
    assert (new_requests(), crm.modules) == ([], {})
    assert tenant.offboarded_at is not None


def test_result_lists_the_steps_and_the_deletion_date(offboard, tenant):
    offboarded = offboard()
    lines = offboarded.lines
    assert (len(lines), offboarded.refusal) == (4, "")
    failed = dataclasses.replace(offboarded, refusal="no").lines
    assert [done == undone for done, undone in zip(lines, failed, strict=True)] == [True, False, True, True]
    assert offboarded.delete_from - offboarded.offboarded_at == RETENTION
    assert str(offboarded.delete_from.year) in lines[3]


def test_second_disconnect_changes_nothing(offboard, tenant, crm, requests_from_now):
    first = offboard()
    new_requests = requests_from_now()
    second = offboard()
    assert (second.offboarded_at, second.refusal, new_requests()) == (first.offboarded_at, "", [])
    assert list(AuditLogEntry.objects.values_list("action", flat=True)) == ["OFFBOARDED"]


def test_second_disconnect_reports_that_the_module_is_still_on(offboard, tenant, crm_world):
    crm_world.break_down("503")
    offboard()
    crm_world.repair()
    second = offboard()
    assert second.refusal
    assert second.refusal in " ".join(second.lines)


def test_user_is_in_the_audit_log(tenant, django_user_model):
    person = django_user_model.objects.create(username="anna")
    offboarding.offboard(tenant, now=timezone.now(), by=person)
    row = AuditLogEntry.objects.get()
    assert (row.action, row.user, row.tenant, row.tenant_name) == ("OFFBOARDED", person, tenant, tenant.name)


def test_second_tenant_is_unaffected(client, offboard, tenant, stranger, crm_world, later):
    before = CrmConnection.objects.get(tenant=stranger)
    offboard()
    after = CrmConnection.objects.get(tenant=stranger)
    assert (before.key, before.client_id, before.registered_module) == (
        after.key,
        after.client_id,
        after.registered_module,
    )
    offboarding.delete_expired(now=timezone.now() + 10 * RETENTION)
    assert Tenant.objects.get() == stranger
    assert reload(stranger).is_live
    assert crm_world.accounts["other.retailcrm.ru"].modules[integration_module.code(stranger)]["active"] is True
    assert client.post(f"/hooks/uis/{stranger.uis.hook}/", "{}", content_type="text/plain").status_code == 200


# --- deletion of the data


@pytest.fixture
def tenant_data(tenant, notify, pbx, missed, run_queue):
    """Create rows of every kind for the tenant."""
    for last in range(4):
        notify(missed(f"7999000010{last}"))
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("waiting"))
    Command.objects.create(tenant=tenant, kind=Command.Kind.MAKE_CALL, received_at=timezone.now())
    UnknownId.record(tenant, {UnknownId.Kind.CODE: ("1", "2")}, now=timezone.now())
    publish_rules(tenant, employees=[Employee.objects.filter(tenant=tenant)[0]])
    operations_tasks.run_checks(tenant.pk)


def count_rows():
    """Return the number of all tenants' rows."""
    kinds = (
        Tenant,
        UisConnection,
        CrmConnection,
        Employee,
        VirtualNumber,
        Call,
        CallLogEntry,
        Notification,
        Popup,
        Command,
    )
    return sum(kind.objects.count() for kind in (*kinds, UnknownId, CheckRun))


@pytest.mark.slow
def test_data_is_deleted_after_retention_and_not_before(offboard, tenant, tenant_data, run_queue):
    offboarded_at = offboard().offboarded_at
    before = count_rows()
    assert offboarding.delete_expired(now=offboarded_at + RETENTION) is False
    assert count_rows() == before
    Tenant.objects.update(upload_window_days=31)
    assert offboarding.delete_expired(now=offboarded_at + RETENTION + timedelta(seconds=1)) is False
    assert count_rows() == before
    assert offboarding.delete_expired(now=offboarded_at + RETENTION + timedelta(days=1, seconds=1)) is False
    assert count_rows() == 0


def test_audit_log_outlives_the_tenant(offboard, tenant):
    offboarded_at = offboard().offboarded_at
    offboarding.delete_expired(now=offboarded_at + 2 * RETENTION)
    entries = AuditLogEntry.objects.order_by("pk").values_list("action", "tenant", "tenant_name")
    assert list(entries) == [("OFFBOARDED", None, tenant.name), ("REMOVED", None, tenant.name)]


@pytest.mark.slow
def test_active_tenant_is_never_deleted(tenant, tenant_data):
    Tenant.objects.update(upload_window_days=0)
    before = count_rows()
    offboarding.delete_expired(now=timezone.now() + 100 * RETENTION)
    assert count_rows() == before


@pytest.mark.slow
def test_rows_are_deleted_in_batches(offboard, tenant, tenant_data, monkeypatch, django_assert_max_num_queries):
    offboarded_at = offboard().offboarded_at
    monkeypatch.setattr(offboarding, "BATCH", 2)
    sizes = []
    monkeypatch.setattr(offboarding.time, "sleep", lambda _seconds: sizes.append(Call.objects.count()))
    offboarding.delete_expired(now=offboarded_at + 2 * RETENTION)
    assert sizes[:2] == [2, 0]
    assert len(sizes) >= 2 + 3
    assert count_rows() == 0


@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 2, 3, 5])
def test_deletion_killed_midway_continues_on_the_next_run(offboard, tenant, tenant_data, monkeypatch, batches):
    class Killed(BaseException):
        pass

    offboarded_at = offboard().offboarded_at
    monkeypatch.setattr(offboarding, "BATCH", 2)
    countdown = iter(range(batches))

    def kill(_seconds):
        if next(countdown, None) is None:
            raise Killed

    monkeypatch.setattr(offboarding.time, "sleep", kill)
    with pytest.raises(Killed):
        offboarding.delete_expired(now=offboarded_at + 2 * RETENTION)
    assert count_rows() > 0
    monkeypatch.setattr(offboarding.time, "sleep", lambda _seconds: None)
    offboarding.delete_expired(now=offboarded_at + 2 * RETENTION)
    assert count_rows() == 0
    assert AuditLogEntry.objects.filter(action="REMOVED").count() == 1


@pytest.mark.slow
def test_deletion_longer_than_one_task_continues_in_the_next(
    offboard, tenant, tenant_data, run_queue, later, monkeypatch
):
    offboard()
    monkeypatch.setattr(offboarding, "SLICE_SECONDS", -1.0)
    monkeypatch.setattr(offboarding, "BATCH", 2)
    later(2 * RETENTION)
    operations_tasks.delete_offboarded_data()
    assert count_rows() > 0
    assert run_queue() > 3
    assert count_rows() == 0


@pytest.mark.slow
def test_row_that_cannot_be_decrypted_is_deleted(offboard, tenant, tenant_data):
    offboarded_at = offboard().offboarded_at
    with connection.cursor() as cursor:
        cursor.execute("UPDATE telephony_call SET recording_url = 'not our token'")
    offboarding.delete_expired(now=offboarded_at + 2 * RETENTION)
    assert count_rows() == 0


# --- return of a tenant


def reactivate(tenant, pbx, crm):
    tenant = reload(tenant)
    tenant.uis.access_token, tenant.crm.key = pbx.token, crm.key
    tenant.uis.save()
    tenant.crm.save()
    steps.activate(tenant, now=timezone.now())
    return reload(tenant)


def test_returning_tenant_with_new_keys_works_again(
    client, offboard, tenant, pbx, crm, notify, missed, run_queue, later
):
    notify(missed(), works=False)
    old_hook = tenant.uis.hook
    offboard()
    run_queue()
    returned = reactivate(tenant, pbx, crm)
    assert (returned.is_live, returned.offboarded_at) == (True, None)
    stored = crm.modules[integration_module.code(returned)]
    assert (stored["active"], stored["clientId"]) == (True, returned.crm.client_id)
    assert sorted(row["code"] for row in stored["integrations"]["telephony"]["additionalCodes"]) == ["101", "102"]
    run_queue()
    assert [call["phone"] for call in crm.calls] == [f"+{CONTACT}"]
    body = json.dumps(missed("79990000002"))
    assert client.post(f"/hooks/uis/{old_hook}/", body, content_type="application/json").status_code == 404
    client.post(f"/hooks/uis/{returned.uis.hook}/", body, content_type="application/json")
    run_queue()
    assert len(crm.calls) == 2
    offboarding.delete_expired(now=timezone.now() + 2 * RETENTION)
    assert Tenant.objects.filter(pk=tenant.pk).exists()


@pytest.mark.slow
def test_tenant_returning_during_deletion_keeps_the_remaining_data(
    offboard, tenant, tenant_data, pbx, crm, monkeypatch
):
    offboarded_at = offboard().offboarded_at
    monkeypatch.setattr(offboarding, "BATCH", 2)
    once = iter([True])
    monkeypatch.setattr(offboarding.time, "sleep", lambda _seconds: next(once, None) and reactivate(tenant, pbx, crm))
    assert offboarding.delete_expired(now=offboarded_at + 2 * RETENTION) is False
    assert reload(tenant).is_live
    assert (Call.objects.count(), Employee.objects.count()) == (2, 3)
    assert not AuditLogEntry.objects.filter(action="REMOVED").exists()


def test_tenant_returning_just_before_removal_is_not_removed(offboard, tenant, pbx, crm, monkeypatch):
    offboarded_at = offboard().offboarded_at
    real = offboarding._remove
    monkeypatch.setattr(
        offboarding, "_remove", lambda removed, *, now: (reactivate(tenant, pbx, crm), real(removed, now=now))[1]
    )
    offboarding.delete_expired(now=offboarded_at + 2 * RETENTION)
    assert reload(tenant).is_live


def test_client_whose_data_cannot_be_deleted_keeps_no_other_clients_data(tenant, twin, monkeypatch):
    for number, one in enumerate((tenant, twin)):
        offboarding.offboard(one, now=timezone.now() + timedelta(seconds=number))
    real = offboarding._remove

    def remove(one, **options):
        if one.pk == tenant.pk:
            raise IntegrityError("a row refers to it")
        return real(one, **options)

    monkeypatch.setattr(offboarding, "_remove", remove)
    assert offboarding.delete_expired(now=timezone.now() + 2 * RETENTION) is False
    assert list(Tenant.objects.values_list("pk", flat=True)) == [tenant.pk]
