"""Disconnecting a client: nothing goes out or comes in, the keys are deleted at once, the data after retention."""

import dataclasses
import inspect
import json
import pydoc
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from connector_project.core import check_results
from connector_project.operations import schedules
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation, offboarding, steps
from crm import integration_module, key_verification
from crm import tasks as crm_tasks
from crm.models import Command, Popup, UnknownId
from crm.retailcrm.client import RetailCrmClient
from telephony import tasks as uis_tasks
from telephony.models import Call, CallLogEntry, Notification
from tenants.models import AuditLogEntry, CheckRun, CrmConnection, Employee, Tenant, UisConnection, VirtualNumber
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER

TERM = timedelta(days=30)
EVERY_TASK = [
    task
    for tasks in (uis_tasks, crm_tasks)
    for name, task in inspect.getmembers(tasks, inspect.isfunction)
    if name[0] != "_" and task.__module__ == tasks.__name__ and [*inspect.signature(task).parameters] == ["tenant_id"]
]
EVERY_SCHEDULE = [pydoc.locate(name) for name in schedules.SCHEDULES]


@pytest.fixture
def leave(tenant):
    """Disconnect the client."""
    return lambda: offboarding.offboard(Tenant.objects.get(pk=tenant.pk), now=timezone.now())


@pytest.fixture
def silence(uis_world, crm_world):
    """Forget the requests so far; return a function that lists those sent from now on."""

    def begin():
        uis_world.requests.clear()
        crm_world.requests.clear()
        return lambda: [*uis_world.requests, *crm_world.requests]

    return begin


@pytest.fixture
def missed(pbx):
    """Make the notification of a missed call."""
    return lambda contact=CONTACT: pbx.call(contact=contact, number=NUMBER, rings=[IVAN]).notification("lost_call")


def raw(table, column):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")  # noqa: S608 -- names of our own
        return [row[0] for row in cursor.fetchall()]


def again(tenant):
    return Tenant.objects.select_related("uis", "crm", "rules").get(pk=tenant.pk)


def test_module_is_switched_off_in_the_crm_and_keeps_what_people_typed(leave, crm, tenant, run_queue):
    stored = crm.modules[integration_module.code(tenant)]
    stored["integrations"]["telephony"]["additionalCodes"].append({"userId": 77, "code": "777"})
    uis_tasks.sync_all()
    run_queue()
    left = leave()
    stored = crm.modules[integration_module.code(tenant)]
    assert (stored["active"], left.refusal) == (False, "")
    assert stored["integrations"]["telephony"]["additionalCodes"] == [{"userId": 77, "code": "777"}]
    assert tenant.uis.hook in stored["baseUrl"]


def test_module_of_version_4_is_switched_off_too(leave, crm, tenant):
    crm.serves_v5 = False
    key_verification.verify_crm_key(tenant.crm)
    integration_module.register(tenant, steps.clients.crm_client(tenant.crm), now=timezone.now(), is_forced=True)
    assert crm.settings_v4[integration_module.code(tenant)]["active"] is True
    assert leave().refusal == ""
    assert crm.settings_v4[integration_module.code(tenant)]["active"] is False


def test_keys_are_gone_at_once(leave, tenant):
    known = again(tenant)
    leave()
    assert raw("tenants_uisconnection", "access_token") == [""]
    assert raw("tenants_crmconnection", "key") == [""]
    now = again(tenant)
    assert now.crm.registered_module == {}
    assert now.crm.client_id != known.crm.client_id
    assert now.uis.hook != known.uis.hook
    assert (now.uis.old_hook, now.uis.old_hook_until, now.one_time_token) == (None, None, None)
    assert now.activation_token != known.activation_token
    assert now.activation_expires_at <= timezone.now()
    assert (now.offboarded_at is not None, now.activated_at, now.is_live) == (True, None, False)


def test_hooks_answer_like_any_unknown_address(client, leave, tenant, hook, missed):
    UisConnection.objects.update(old_hook="before", old_hook_until=timezone.now() + timedelta(days=1))
    leave()
    said = {"clientId": tenant.crm.client_id, "code": "101", "phone": CONTACT, "status": "busy"}
    nowhere = client.get("/nothing/here/").content
    crm_hooks = [f"/hooks/retailcrm/{tenant.uis.hook}/{name}/" for name in ("make-call", "activity", "settings")]
    for address in (hook, f"{hook}lost_call/", "/hooks/uis/before/"):
        answer = client.post(address, missed(), content_type="application/json")
        assert (answer.status_code, answer.content) == (404, nowhere)
    for address in (*crm_hooks, f"/hooks/retailcrm/{tenant.uis.hook}/change-user-status/"):
        assert client.post(address, said).status_code == 404
    assert (Notification.objects.count(), Command.objects.count()) == (0, 0)


@pytest.mark.parametrize("is_paused", [False, True])
def test_nothing_is_sent_any_more(client, leave, tenant, hook, notify, pbx, missed, silence, later, is_paused):
    """Everything is on its way when he leaves: a card, a missed call, an answered one, a click, a status."""
    uis_tasks.sync_all()
    Tenant.objects.update(is_paused=is_paused)
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 20)])
    notify(call.notification("waiting"), missed("79990000002"), call.notification("call_end"), works=False)
    told = {"clientId": tenant.crm.client_id, "code": "101", "userId": "27", "phone": CONTACT, "status": "busy"}
    for name in ("make-call", "change-user-status"):
        client.post(f"/hooks/retailcrm/{tenant.uis.hook}/{name}/", told)
    leave()
    asked = silence()
    for minutes in (0, 1, 5, 60, 24 * 60):
        later(timedelta(minutes=minutes))
        for schedule in EVERY_SCHEDULE:
            schedule()
        task_queue.drain()
    assert asked() == []
    assert not Popup.objects.exists()
    assert set(Command.objects.values_list("state", "reason")) <= {("FAILED", "NOT_ACTIVE"), ("REFUSED", "NOT_ACTIVE")}
    assert set(Call.objects.values_list("state", flat=True)) == {"READY", "FETCHING_LEGS"}
    assert not Notification.objects.filter(outcome="QUEUED").exists()


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.__name__)
def test_task_that_was_queued_before_asks_nobody_and_breaks_nothing(leave, tenant, task, notify, missed, silence):
    notify(missed(), works=False)
    leave()
    asked = silence()
    task(tenant.pk)
    task_queue.drain()
    assert asked() == []
    assert again(tenant).offboarded_at is not None


def test_call_that_was_claimed_before_is_not_sent_without_a_key(leave, tenant, notify, missed, silence):
    from crm import uploads

    notify(missed(), works=False)
    uis_tasks.evaluate_calls(tenant.pk)
    batch = Call.objects.claim(tenant.pk, Call.State.READY, limit=10, now=timezone.now())
    leave()
    asked = silence()
    uploads.upload(list(Call.objects.filter(pk__in=[call.pk for call in batch]).with_related()), now=timezone.now())
    assert asked() == []
    assert Call.objects.get().state == "READY"


@pytest.mark.parametrize(("is_in_time", "ends"), [(True, (1, "UPLOADED")), (False, (0, "READY"))])
def test_upload_at_work_at_that_moment_ends_in_peace(
    leave, tenant, crm, notify, missed, monkeypatch, later, is_in_time, ends
):
    """Its request comes to the CRM before our module is switched off, or after."""
    real = RetailCrmClient.upload_calls

    def meanwhile(self, calls):
        answer = real(self, calls) if is_in_time else None
        leave()
        return answer or real(self, calls)

    monkeypatch.setattr(RetailCrmClient, "upload_calls", meanwhile)
    notify(missed())
    later(timedelta(minutes=5))
    assert (len(crm.calls), Call.objects.get().state) == ends
    assert again(tenant).crm.key == ""
    assert crm.modules[integration_module.code(tenant)]["active"] is False


def test_registering_at_work_at_that_moment_is_taken_back(leave, tenant, crm, run_queue, monkeypatch):
    real, seen = RetailCrmClient.edit_module, []

    def meanwhile(self, sent):
        seen.append(sent.is_active)
        if len(seen) == 1:
            leave()
        return real(self, sent)

    monkeypatch.setattr(RetailCrmClient, "edit_module", meanwhile)
    CrmConnection.objects.update(registered_module={})
    uis_tasks.sync_all()
    run_queue()
    assert seen == [True, False, False]
    assert crm.modules[integration_module.code(tenant)]["active"] is False
    assert (again(tenant).crm.registered_module, again(tenant).crm.registered_at) == ({}, None)


def test_activation_at_work_at_that_moment_does_not_bring_him_back(leave, tenant, run_queue):
    Tenant.objects.update(activated_at=None)
    activation.start(again(tenant), now=timezone.now())
    for _step in range(2):
        operations_tasks.run_activation_step(tenant.pk)
    leave()
    run_queue()
    assert (again(tenant).activated_at, Activation.objects.count(), CheckRun.objects.count()) == (None, 0, 0)


def test_last_step_of_an_activation_needs_the_keys(leave, tenant):
    held = again(tenant)
    leave()
    with pytest.raises(check_results.CheckFailed):
        steps.run_step(held, Activation.Step.ON, now=timezone.now())
    assert again(tenant).is_live is False
    UisConnection.objects.update(access_token="uis-token")
    with pytest.raises(check_results.CheckFailed):
        steps.run_step(held, Activation.Step.ON, now=timezone.now())


@pytest.mark.parametrize("kind", ["503", "timeout", "html", "500"])
def test_unavailable_crm_does_not_stop_it(leave, tenant, crm, crm_world, kind):
    crm_world.break_down(kind)
    left = leave()
    assert left.refusal
    assert left.refusal.rstrip(".") in " ".join(left.lines)
    assert again(tenant).crm.key == ""
    assert crm.modules[integration_module.code(tenant)]["active"] is True


def test_crm_that_denies_access_does_not_stop_it(leave, tenant, crm):
    crm.key = "another"
    left = leave()
    assert left.refusal.rstrip(".")
    assert left.refusal.rstrip(".") in " ".join(left.lines)
    assert raw("tenants_crmconnection", "key") == [""]


def test_tenant_without_a_module_is_disconnected_too(pbx, crm, silence, db):
    from tenants import onboarding

    tenant = onboarding.create_tenant(
        onboarding.NewTenant(name="Новый", crm_url=f"https://{crm.host}"), now=timezone.now()
    )
    asked = silence()
    assert offboarding.offboard(tenant, now=timezone.now()).refusal == ""
    assert (asked(), crm.modules) == ([], {})
    assert tenant.offboarded_at is not None


def test_result_lists_what_is_done_and_when_the_data_is_deleted(leave, tenant):
    left = leave()
    lines = left.lines
    assert (len(lines), left.refusal) == (4, "")
    failed = dataclasses.replace(left, refusal="no").lines
    assert [done == undone for done, undone in zip(lines, failed, strict=True)] == [True, False, True, True]
    assert left.erased_from - left.offboarded_at == TERM
    assert str(left.erased_from.year) in lines[3]


def test_disconnecting_twice_is_the_same_as_once(leave, tenant, crm, silence):
    first = leave()
    asked = silence()
    second = leave()
    assert (second.offboarded_at, second.refusal, asked()) == (first.offboarded_at, "", [])
    assert list(AuditLogEntry.objects.values_list("action", flat=True)) == ["LEFT"]


def test_second_disconnect_reports_that_the_module_is_still_on(leave, tenant, crm_world):
    crm_world.break_down("503")
    leave()
    crm_world.repair()
    second = leave()
    assert second.refusal
    assert second.refusal in " ".join(second.lines)


def test_user_is_in_the_audit_log(tenant, django_user_model):
    person = django_user_model.objects.create(username="anna")
    offboarding.offboard(tenant, now=timezone.now(), by=person)
    row = AuditLogEntry.objects.get()
    assert (row.action, row.user, row.tenant, row.tenant_name) == ("LEFT", person, tenant, tenant.name)


def test_second_client_goes_on(client, leave, tenant, stranger, crm_world, later):
    before = CrmConnection.objects.get(tenant=stranger)
    leave()
    after = CrmConnection.objects.get(tenant=stranger)
    assert (before.key, before.client_id, before.registered_module) == (
        after.key,
        after.client_id,
        after.registered_module,
    )
    offboarding.delete_expired(now=timezone.now() + 10 * TERM)
    assert Tenant.objects.get() == stranger
    assert again(stranger).is_live
    assert crm_world.accounts["other.retailcrm.ru"].modules[integration_module.code(stranger)]["active"] is True
    assert client.post(f"/hooks/uis/{stranger.uis.hook}/", "", content_type="text/plain").status_code == 200


# --- the data


@pytest.fixture
def full(tenant, notify, pbx, missed, run_queue):
    """Give the client some of everything."""
    for last in range(4):
        notify(missed(f"7999000010{last}"))
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("waiting"))
    Command.objects.create(tenant=tenant, kind=Command.Kind.MAKE_CALL, received_at=timezone.now())
    UnknownId.record(tenant, UnknownId.Kind.CODE, ("1", "2"), on=timezone.now().date())
    tenant.rules.employees.add(Employee.objects.filter(tenant=tenant)[0])
    operations_tasks.run_checks(tenant.pk)


def rows():
    """Return how many rows of clients there are in all."""
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


def test_data_is_deleted_after_the_term_and_not_before(leave, tenant, full, run_queue):
    offboarded_at = leave().offboarded_at
    kept = rows()
    assert offboarding.delete_expired(now=offboarded_at + TERM) is False
    assert rows() == kept
    Tenant.objects.update(upload_window_days=31)
    assert offboarding.delete_expired(now=offboarded_at + TERM + timedelta(seconds=1)) is False
    assert rows() == kept
    assert offboarding.delete_expired(now=offboarded_at + TERM + timedelta(days=1, seconds=1)) is False
    assert rows() == 0


def test_journal_outlives_the_client_and_says_so(leave, tenant):
    offboarded_at = leave().offboarded_at
    offboarding.delete_expired(now=offboarded_at + 2 * TERM)
    told = AuditLogEntry.objects.order_by("pk").values_list("action", "tenant", "tenant_name")
    assert list(told) == [("LEFT", None, tenant.name), ("REMOVED", None, tenant.name)]


def test_who_is_here_is_never_erased(tenant, full):
    Tenant.objects.update(upload_window_days=0)
    kept = rows()
    offboarding.delete_expired(now=timezone.now() + 100 * TERM)
    assert rows() == kept


def test_rows_go_in_batches_of_their_own(leave, tenant, full, monkeypatch, django_assert_max_num_queries):
    offboarded_at = leave().offboarded_at
    monkeypatch.setattr(offboarding, "BATCH", 2)
    sizes = []
    monkeypatch.setattr(offboarding.time, "sleep", lambda _seconds: sizes.append(Call.objects.count()))
    offboarding.delete_expired(now=offboarded_at + 2 * TERM)
    assert sizes[:2] == [2, 0]
    assert len(sizes) >= 2 + 3
    assert rows() == 0


@pytest.mark.parametrize("batches", [1, 2, 3, 5])
def test_killed_in_the_middle_it_goes_on_next_time(leave, tenant, full, monkeypatch, batches):
    class Killed(BaseException):
        pass

    offboarded_at = leave().offboarded_at
    monkeypatch.setattr(offboarding, "BATCH", 2)
    countdown = iter(range(batches))

    def die(_seconds):
        if next(countdown, None) is None:
            raise Killed

    monkeypatch.setattr(offboarding.time, "sleep", die)
    with pytest.raises(Killed):
        offboarding.delete_expired(now=offboarded_at + 2 * TERM)
    assert rows() > 0
    monkeypatch.setattr(offboarding.time, "sleep", lambda _seconds: None)
    offboarding.delete_expired(now=offboarded_at + 2 * TERM)
    assert rows() == 0
    assert AuditLogEntry.objects.filter(action="REMOVED").count() == 1


def test_what_is_too_much_for_one_task_is_left_to_the_next(leave, tenant, full, run_queue, later, monkeypatch):
    leave()
    monkeypatch.setattr(offboarding, "SLICE_SECONDS", -1.0)
    monkeypatch.setattr(offboarding, "BATCH", 2)
    later(2 * TERM)
    operations_tasks.delete_offboarded_data()
    assert rows() > 0
    assert run_queue() > 3
    assert rows() == 0


def test_row_that_cannot_be_decrypted_is_deleted_all_the_same(leave, tenant, full):
    offboarded_at = leave().offboarded_at
    with connection.cursor() as cursor:
        cursor.execute("UPDATE telephony_call SET recording_url = 'not a token of ours'")
    offboarding.delete_expired(now=offboarded_at + 2 * TERM)
    assert rows() == 0


# --- coming back


def come_back(tenant, pbx, crm):
    tenant = again(tenant)
    tenant.uis.access_token, tenant.crm.key = pbx.token, crm.key
    tenant.uis.save()
    tenant.crm.save()
    steps.activate(tenant, now=timezone.now())
    return again(tenant)


def test_who_comes_back_with_new_keys_works_again(client, leave, tenant, pbx, crm, notify, missed, run_queue, later):
    notify(missed(), works=False)
    old_hook = tenant.uis.hook
    leave()
    run_queue()
    back = come_back(tenant, pbx, crm)
    assert (back.is_live, back.offboarded_at) == (True, None)
    stored = crm.modules[integration_module.code(back)]
    assert (stored["active"], stored["clientId"]) == (True, back.crm.client_id)
    assert sorted(row["code"] for row in stored["integrations"]["telephony"]["additionalCodes"]) == ["101", "102"]
    run_queue()
    assert [call["phone"] for call in crm.calls] == [f"+{CONTACT}"]
    body = json.dumps(missed("79990000002"))
    assert client.post(f"/hooks/uis/{old_hook}/", body, content_type="application/json").status_code == 404
    client.post(f"/hooks/uis/{back.uis.hook}/", body, content_type="application/json")
    run_queue()
    assert len(crm.calls) == 2
    offboarding.delete_expired(now=timezone.now() + 2 * TERM)
    assert Tenant.objects.filter(pk=tenant.pk).exists()


def test_who_comes_back_while_his_data_is_deleted_keeps_the_rest(leave, tenant, full, pbx, crm, monkeypatch):
    offboarded_at = leave().offboarded_at
    monkeypatch.setattr(offboarding, "BATCH", 2)
    once = iter([True])
    monkeypatch.setattr(offboarding.time, "sleep", lambda _seconds: next(once, None) and come_back(tenant, pbx, crm))
    assert offboarding.delete_expired(now=offboarded_at + 2 * TERM) is False
    assert again(tenant).is_live
    assert (Call.objects.count(), Employee.objects.count()) == (2, 3)
    assert not AuditLogEntry.objects.filter(action="REMOVED").exists()


def test_who_comes_back_at_the_last_moment_is_not_removed(leave, tenant, pbx, crm, monkeypatch):
    offboarded_at = leave().offboarded_at
    real = offboarding._remove
    monkeypatch.setattr(
        offboarding, "_remove", lambda gone, *, now: (come_back(tenant, pbx, crm), real(gone, now=now))[1]
    )
    offboarding.delete_expired(now=offboarded_at + 2 * TERM)
    assert again(tenant).is_live
