"""What a vendor denies stops its own step and nothing else, until the same thing is allowed again."""

import itertools
import json
from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from connector_project.core import workers
from connector_project.core.models import WorkerHeartbeat
from connector_project.operations import tasks as operations_tasks
from connector_project.operations import tenant_status
from connector_project.operations.models import Incident
from crm import integration_module
from crm import tasks as crm_tasks
from crm.models import Command, Popup
from crm.retailcrm import client as crm_client
from telephony import tasks as uis_tasks
from telephony.models import Call, Notification
from telephony.models.choices import NEEDED_RIGHTS
from telephony.webhooks import process
from tenants.models import AuditLogEntry, CheckRun, CrmConnection, Employee, Tenant, UisConnection
from tests import html_text, task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.fakes import retailcrm_methods
from tests.rules import publish_rules
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

LEGS, EVENT, UPLOAD = "get.call_legs_report", crm_client.EVENT_RIGHT, crm_client.UPLOAD_RIGHT


@pytest.fixture
def minutes(clock, settings):
    """Let minutes pass with all periodic tasks; `each` runs in every minute."""
    settings.ALARM_EMAILS = ["ops@example.net"]

    def wait(count, *, step=1, each=lambda: None):
        for _step in range(count // step):
            clock.shift(timedelta(minutes=step))
            for name in workers.QUEUES:
                WorkerHeartbeat.objects.update_or_create(
                    name=name, defaults={"queue": name, "last_seen_at": timezone.now()}
                )
            each()
            minute = timezone.now().minute
            if minute % 5 == 0:
                uis_tasks.probe_all()
                crm_tasks.probe_all()
            if minute % 10 == 0:
                uis_tasks.reconcile_all()
            if minute == 0:
                uis_tasks.sync_all()
            task_queue.sweep()
            operations_tasks.evaluate_alerts()
            task_queue.drain()

    return wait


def asked(world, part):
    return [one for one in world.requests if part in str(getattr(one, "path", getattr(one, "method", "")))]


def denied(model, tenant):
    return list(model.objects.get(tenant=tenant).denied)


def incidents():
    return [f"{one.reason} {one.state}" for one in Incident.objects.filter(kind="ACCESS_DENIED").order_by("pk")]


def mails():
    """Count the mails about denied access."""
    pages = [f"/incident/{one.pk}/change/" for one in Incident.objects.filter(kind="ACCESS_DENIED")]
    return sum(any(page in message.body for page in pages) for message in mail.outbox)


def test_steps_need_the_rights_that_their_requests_name():
    assert NEEDED_RIGHTS == {"FETCHING_LEGS": LEGS, "READY": UPLOAD}


# --- one right is missing


@pytest.mark.exhaustive
@pytest.mark.slow
def test_missing_legs_report_stops_only_answered_calls(
    minutes, tenant, stranger, pbx, crm, uis_world, add_answered, add_missed
):
    publish_rules(tenant, status_sync="BOTH")
    pbx.unavailable_methods = {LEGS}
    for number in range(3):
        add_answered(number)
    add_missed(1)
    uis_world.requests.clear()
    minutes(65, step=5)
    assert [call["phone"] for call in crm.calls] == ["+79996000001"]
    # Nobody flooded UIS with what it refuses, and everything else went on.
    assert len(asked(uis_world, LEGS)) <= 14
    assert len(asked(uis_world, "get.calls_report")) >= 6
    assert asked(uis_world, "get.employees")
    connection = UisConnection.objects.get(tenant=tenant)
    assert (list(connection.denied), connection.denied_at) == ([LEGS], None)
    for call in Call.objects.filter(state="FETCHING_LEGS"):
        assert (call.reason, call.attempts, call.failed_at) == ("UIS_DENIED", 0, None)
        assert LEGS in call.detail
    assert (incidents(), mails()) == (["uis:method_component_disabled OPEN"], 1)
    pbx.unavailable_methods = set()
    minutes(6, step=2)
    assert len(crm.calls) == 4
    assert denied(UisConnection, tenant) == []
    minutes(10, step=5)
    assert (incidents(), mails()) == (["uis:method_component_disabled RESOLVED"], 2)


def test_new_calls_wait_for_a_denied_right_without_a_request(clock, tenant, pbx, uis_world, add_answered):
    pbx.unavailable_methods = {LEGS}
    add_answered()
    uis_world.requests.clear()
    for number in range(1, 5):
        add_answered(number)
    assert asked(uis_world, LEGS) == []
    waiting = set(Call.objects.values_list("reason", "next_attempt_at"))
    assert waiting == {("UIS_DENIED", timezone.now() + timedelta(minutes=5))}


def test_pop_ups_try_a_denied_right_once_in_five_minutes(clock, tenant, crm, crm_world, ring):
    crm.scopes -= {"telephony_write"}
    ring(1)
    crm_world.requests.clear()
    ring(2)
    ring(3)
    assert asked(crm_world, "call/event") == []
    assert list(Notification.objects.order_by("pk").values_list("reason", flat=True)) == [
        "CRM_FAILED",
        "CRM_DENIED",
        "CRM_DENIED",
    ]
    crm.scopes |= {"telephony_write"}
    clock.shift(timedelta(minutes=5))
    ring(4)
    ring(5)
    assert (Popup.objects.filter(state="OPEN").count(), denied(CrmConnection, tenant)) == (2, [])


def test_ring_that_opens_no_pop_up_takes_no_try_of_a_denied_right(clock, tenant, pbx, crm, notify, ring):
    crm.scopes -= {"telephony_write"}
    ring(1)
    crm.scopes |= {"telephony_write"}
    clock.shift(timedelta(minutes=5))
    call = pbx.call(contact="79998000000", number=NUMBER, rings=[IVAN])
    notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()) | {"employee_id": 999})
    assert Notification.objects.latest("pk").reason == "UNKNOWN_EMPLOYEE"
    ring(2)
    assert (Popup.objects.filter(state="OPEN").count(), denied(CrmConnection, tenant)) == (1, [])


def test_missing_report_of_calls_stops_only_the_calls_that_need_it(clock, tenant, pbx, crm, add_answered):
    pbx.unavailable_methods = {"get.calls_report"}
    add_answered()
    assert len(crm.calls) == 1
    second = add_answered(2)
    Call.objects.filter(session_id=second.session_id).update(
        state="FETCHING_LEGS", direction="", next_attempt_at=timezone.now(), has_legs=False, uis_snapshot=""
    )
    task_queue.sweep()
    waits = Call.objects.get(session_id=second.session_id)
    assert (waits.state, waits.reason) == ("FETCHING_LEGS", "UIS_DENIED")
    assert denied(UisConnection, tenant) == ["get.calls_report"]


def test_missing_report_of_calls_does_not_stop_a_call_with_two_recordings(clock, tenant, stranger, pbx, crm, notify):
    """It would only name one recording of all talks."""
    pbx.unavailable_methods = {"get.calls_report"}
    call = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 20), (PETR, 30)])
    notify(call.notification("call_end"))
    assert [(one["result"], bool(one.get("link") or one.get("recordUrl"))) for one in crm.calls] == [("answered", True)]
    assert denied(UisConnection, tenant) == ["get.calls_report"]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_missing_telephony_write_is_one_incident_whatever_else_works(
    minutes, tenant, stranger, crm, crm_world, add_missed, ring
):
    crm.scopes -= {"telephony_write"}
    numbers = iter(range(1000))
    crm_world.requests.clear()
    minutes(120, step=10, each=lambda: (add_missed(next(numbers)), ring(next(numbers))))
    assert crm.calls == []
    assert (incidents(), mails()) == (["crm:scope OPEN"], 1)
    assert set(Incident.objects.get(kind="ACCESS_DENIED").context["rights"]) == {EVENT, UPLOAD}
    assert len(asked(crm_world, "calls/upload")) <= 13
    assert len(asked(crm_world, "call/event")) <= 13
    assert asked(crm_world, "/users")
    crm.scopes |= {"telephony_write"}
    minutes(6, step=2, each=lambda: ring(next(numbers)))
    assert {f"+79996{number:06d}" for number in range(0, 24, 2)} <= {call["phone"] for call in crm.calls}
    assert Popup.objects.filter(state="OPEN").exists()
    assert denied(CrmConnection, tenant) == []
    minutes(10, step=5)
    assert (incidents(), mails()) == (["crm:scope RESOLVED"], 2)


def test_missing_right_is_lifted_by_its_own_success_alone(clock, tenant, pbx, crm, add_missed, run_queue):
    tenant.crm.suspend("scope", "no", subject=UPLOAD, now=timezone.now())
    tenant.crm.suspend("key", "no", now=timezone.now())
    uis_tasks.sync_all()
    run_queue()
    assert denied(CrmConnection, tenant) == [UPLOAD]
    clock.shift(timedelta(minutes=5))
    add_missed()
    assert (len(crm.calls), denied(CrmConnection, tenant)) == (1, [])


def test_status_that_may_not_be_set_stops_nothing_else(client, clock, tenant, pbx, crm, run_queue, add_answered):
    pbx.permissions -= {"employees: update"}
    form = {"clientId": tenant.crm.client_id, "userId": "27", "code": "101"}
    address = f"/hooks/retailcrm/{tenant.crm.hook}/change-user-status/"
    client.post(address, form | {"status": "busy"})
    run_queue()
    assert (Command.objects.get().reason, denied(UisConnection, tenant)) == ("UIS_DENIED", ["update.employees"])
    uis_tasks.sync_all()
    run_queue()
    add_answered()
    assert (len(crm.calls), denied(UisConnection, tenant)) == (1, ["update.employees"])
    pbx.permissions |= {"employees: update"}
    client.post(address, form | {"status": "dinner"})
    run_queue()
    assert denied(UisConnection, tenant) == []


def test_call_api_that_is_bought_is_noticed_by_a_check(client, clock, tenant, pbx, run_queue):
    components, pbx.components = pbx.components, set()
    form = {"clientId": tenant.crm.client_id, "userId": "27", "code": "101", "phone": CONTACT}
    client.post(f"/hooks/retailcrm/{tenant.crm.hook}/make-call/", form)
    run_queue()
    assert denied(UisConnection, tenant) == ["call_api"]
    pbx.components = components
    operations_tasks.run_checks(tenant.pk)
    assert denied(UisConnection, tenant) == []


def test_right_that_nothing_needs_any_more_is_forgotten(clock, tenant):
    tenant.uis.suspend("forbidden", "no", subject="update.employees", now=timezone.now())
    tenant.uis.suspend("ip_not_whitelisted", "no", now=timezone.now())
    clock.shift(timedelta(days=13))
    uis_tasks.probe_all()
    assert denied(UisConnection, tenant) == ["account", "update.employees"]
    clock.shift(timedelta(days=2))
    uis_tasks.probe_all()
    assert denied(UisConnection, tenant) == ["account"]


@pytest.mark.parametrize(("subject", "status"), [("account", "ACCESS_DENIED"), (LEGS, "ACCESS_DENIED")])
def test_client_with_a_denial_has_the_status(clock, tenant, subject, status):
    tenant.uis.suspend("method_component_disabled", "no", subject=subject, now=timezone.now())
    found = tenant_status.with_status(Tenant.objects.select_related("uis", "crm")).get(pk=tenant.pk)
    report = tenant_status.describe(found, activity=tenant_status.RecentActivity(), now=timezone.now())
    assert report.state.name == status
    assert (LEGS in report.reason) == (subject == LEGS)


# --- several at once


@pytest.mark.exhaustive
@pytest.mark.slow
def test_module_switched_off_stays_off_after_a_wrong_key(client, minutes, tenant, crm, crm_world, add_missed):
    form = {"clientId": tenant.crm.client_id, "activity": json.dumps({"active": False, "freeze": False})}
    url = f"/hooks/retailcrm/{tenant.crm.hook}/activity/"
    crm.modules[integration_module.code(tenant)]["active"] = False
    client.post(url, form)
    add_missed()
    key, crm.key = crm.key, "another"
    minutes(60, step=5)
    assert denied(CrmConnection, tenant) == ["account", "switched_off"]
    assert CrmConnection.objects.get(tenant=tenant).denied_code == "key"
    crm.key = key
    minutes(60, step=5)
    assert denied(CrmConnection, tenant) == ["switched_off"]
    assert CrmConnection.objects.get(tenant=tenant).denied_code == "telephony_off"
    assert (crm.calls, crm.modules[integration_module.code(tenant)]["active"]) == ([], False)
    assert sorted(incidents()) == ["crm:key RESOLVED", "crm:telephony_off OPEN"]
    crm.modules[integration_module.code(tenant)]["active"] = True
    client.post(url, form | {"activity": json.dumps({"active": True, "freeze": False})})
    minutes(2)
    assert len(crm.calls) == 1


def test_denial_that_is_newer_than_the_request_is_not_lifted(clock, tenant):
    tenant.uis.suspend("forbidden", "no", subject=LEGS, now=timezone.now())
    before = UisConnection.objects.get(tenant=tenant)
    UisConnection.objects.get(tenant=tenant).lift(LEGS)
    clock.shift(timedelta(seconds=1))
    tenant.uis.suspend("forbidden", "no", subject=LEGS, now=timezone.now())
    assert before.record_success(LEGS) is False
    assert denied(UisConnection, tenant) == [LEGS]


def test_one_stray_answer_suspends_nothing(clock, tenant, crm, crm_world, monkeypatch, add_missed, run_queue):
    real = retailcrm_methods.answer
    stray = iter([retailcrm_methods.page(404, "404 Not Found")])
    monkeypatch.setattr("tests.fakes.retailcrm.answer", lambda *request: next(stray, None) or real(*request))
    add_missed()
    assert denied(CrmConnection, tenant) == []
    clock.shift(timedelta(minutes=1))
    task_queue.sweep()
    assert len(crm.calls) == 1


# --- the module that people switch off while we register it


@pytest.fixture
def switch_off_during(client, tenant, crm, monkeypatch):
    """Let people switch our module off while one of our requests is on its way."""
    real = retailcrm_methods.answer

    def prepare(part, *, before):
        def answer(account, request):
            if part not in request.path or done:
                return real(account, request)
            done.append(True)
            reply = None if before else real(account, request)
            account.modules[integration_module.code(tenant)]["active"] = False
            form = {"clientId": tenant.crm.client_id, "activity": json.dumps({"active": False, "freeze": False})}
            client.post(f"/hooks/retailcrm/{tenant.crm.hook}/activity/", form)
            return reply or real(account, request)

        done = []
        monkeypatch.setattr("tests.fakes.retailcrm.answer", answer)

    return prepare


@pytest.mark.parametrize("part", ["/users", "/edit"])
@pytest.mark.parametrize("is_forced", [False, True])
def test_module_switched_off_while_it_is_registered_stays_off(
    clock, tenant, crm, switch_off_during, run_queue, part, is_forced
):
    # An extension has changed, so that the link registers the module.
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(extension="177")
    switch_off_during(part, before=True)
    if is_forced:
        from connector_project.operations.onboarding import steps

        tenant.crm.suspend("telephony_off", "", subject="switched_off", now=timezone.now() - timedelta(hours=1))
        steps.activate(
            Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk), now=timezone.now()
        )
    else:
        crm_tasks.link_users(tenant.pk)
    module = crm.modules[integration_module.code(tenant)]
    assert (module["active"], denied(CrmConnection, tenant)) == (False, ["switched_off"])
    crm_tasks.probe_all()
    run_queue()
    assert (module["active"], denied(CrmConnection, tenant)) == (False, ["switched_off"])


def test_module_that_could_not_be_switched_off_again_is_switched_off_by_the_probe(
    clock, tenant, crm, crm_world, switch_off_during, run_queue
):
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(extension="177")
    switch_off_during("/edit", before=True)
    register = integration_module.switch_off_again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integration_module, "switch_off_again", lambda *_args: None)
        crm_tasks.link_users(tenant.pk)
    assert register is integration_module.switch_off_again
    code = integration_module.code(tenant)
    assert crm.modules[code]["active"] is True
    crm_tasks.probe_all()
    run_queue()
    assert (crm.modules[code]["active"], denied(CrmConnection, tenant)) == (False, ["switched_off"])
    codes = crm.modules[code]["integrations"]["telephony"]["additionalCodes"]
    assert {"userId": "27", "code": "177"} in [{**row, "userId": str(row["userId"])} for row in codes]


# --- a vendor that hangs


def test_hanging_crm_is_asked_for_one_of_ten_owners(clock, tenant, crm, crm_world, pbx, notify):
    publish_rules(tenant, missed_owner="RESPONSIBLE")
    crm_world.break_down("timeout", path_part="telephony/manager")
    now = timezone.now()
    for number in range(10):
        notify(
            pbx.call(contact=f"79996{number:06d}", number=NUMBER, rings=[IVAN]).notification("lost_call"), works=False
        )
    process.enqueue_due(now=now)
    task_queue.process_notifications()
    Call.objects.update(state="RESOLVING_OWNER", next_attempt_at=now, claim_token=None)
    crm_tasks.find_owners(tenant.pk)
    connection = CrmConnection.objects.get(tenant=tenant)
    assert len(asked(crm_world, "telephony/manager")) == 1
    assert (connection.consecutive_failures, connection.retry_at) == (1, now + timedelta(seconds=5))
    assert sorted(Call.objects.values_list("attempts", flat=True)) == [0] * 9 + [1]
    crm_world.repair()
    for _minute in range(3):
        clock.shift(timedelta(minutes=1))
        task_queue.sweep()
    assert len(crm.calls) == 10


def test_hanging_crm_ends_the_search_for_a_rejected_call(clock, tenant, crm, crm_world, add_missed, monkeypatch):
    crm_world.break_down("503", times=1)
    for number in range(8):
        add_missed(number)
    real, sent = retailcrm_methods.answer, []
    refusal = retailcrm_methods.ApiError(400, "Odd calls.").answer(errors_as_list=False)

    def answer(account, request):
        if "calls/upload" not in request.path:
            return real(account, request)
        sent.append(request)
        if len(sent) == 1:
            crm_world.break_down("timeout", path_part="calls/upload")
        return refusal

    monkeypatch.setattr("tests.fakes.retailcrm.answer", answer)
    Call.objects.update(next_attempt_at=timezone.now(), attempts=0)
    CrmConnection.objects.update(consecutive_failures=0, retry_at=None)
    crm_world.requests.clear()
    crm_tasks.upload_calls(tenant.pk)
    assert len(asked(crm_world, "calls/upload")) == 2
    assert CrmConnection.objects.get(tenant=tenant).consecutive_failures == 1
    assert set(Call.objects.values_list("state", "failed_at")) == {("READY", None)}


@pytest.mark.parametrize(("vendor", "most"), [("uis", 2), ("crm", 3)])
def test_check_ends_with_the_first_hanging_request(clock, tenant, uis_world, crm_world, vendor, most):
    if vendor == "uis":
        uis_world.break_down("timeout", method="get.employees")
    else:
        crm_world.break_down("timeout", path_part="/settings")
    world = uis_world if vendor == "uis" else crm_world
    world.requests.clear()
    operations_tasks.run_checks(tenant.pk)
    assert len(world.requests) == most


def test_hanging_status_push_ends_with_its_first_request(clock, tenant, crm, crm_world):
    publish_rules(tenant, status_sync="BOTH")
    Employee.objects.filter(tenant=tenant, uis_id__in=[IVAN, PETR]).update(uis_status="2")
    crm_world.break_down("timeout", path_part="/status")
    crm_tasks.push_statuses(tenant.pk)
    assert len(asked(crm_world, "/status")) == 1


# --- a vendor that asks for a day

DAY = ["86400", "Wed, 11 Mar 2026 09:00:00 GMT"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("retry_after", DAY)
def test_crm_is_tried_every_half_hour_whatever_it_asks_for(clock, tenant, crm, crm_world, add_missed, retry_after):
    crm_world.break_down("503", retry_after=retry_after)
    add_missed()
    times = []
    for _step in range(31):
        clock.shift(timedelta(minutes=4))
        before = len(crm_world.requests)
        task_queue.sweep()
        times += [timezone.now()] * (len(crm_world.requests) > before)
    assert len(times) >= 3
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= timedelta(minutes=36)
    crm_world.repair()
    clock.shift(timedelta(minutes=32))
    task_queue.sweep()
    assert len(crm.calls) == 1


@pytest.mark.parametrize("retry_after", DAY)
def test_uis_is_tried_within_half_an_hour_whatever_it_asks_for(
    clock, tenant, crm, uis_world, add_answered, retry_after
):
    uis_world.break_down("503", times=2)
    uis_world.retry_after = retry_after
    add_answered()
    for _try in range(3):
        clock.shift(timedelta(minutes=32))
        task_queue.sweep()
    assert len(crm.calls) == 1


def test_used_up_points_of_the_day_are_asked_for_every_half_hour(clock, tenant, pbx, crm, add_answered):
    pbx.day_limit = 0
    add_answered()
    assert Call.objects.get().reason == "UIS_QUOTA"
    pbx.day_limit = 3500  # The client buys more.
    clock.shift(timedelta(minutes=32))
    task_queue.sweep()
    assert len(crm.calls) == 1


# --- people see which right it is, and may end the waits


@pytest.fixture
def operator_page(client, tenant):
    client.force_login(create_user("olga", "Operator"))
    return reverse("admin:tenants_tenant_change", args=[tenant.pk])


@pytest.mark.exhaustive
def test_missing_right_is_on_every_page_that_explains(client, clock, tenant, pbx, add_answered, operator_page, capsys):
    pbx.unavailable_methods = {LEGS}
    call = add_answered()
    assert LEGS in html_text.text(client.get(operator_page))
    assert LEGS in html_text.text(client.get(reverse("activate", args=[tenant.activation_token])))
    call_command("explain_call", "--tenant", tenant.slug, str(call.session_id))
    explained = json.loads(capsys.readouterr().out)
    assert (explained["reason"], explained["responsible"]) == ("UIS_DENIED", "client")
    assert LEGS in explained["message"]
    operations_tasks.run_checks(tenant.pk)
    failed = {row["check"] for row in CheckRun.objects.get(tenant=tenant).results if not row["ok"]}
    assert "UIS_DATA_API" in failed


@pytest.mark.parametrize("language", ["en", "ru"])
def test_try_now_ends_the_pause_and_the_waits(
    client, clock, tenant, stranger, pbx, crm, crm_world, add_answered, add_missed, operator_page, run_queue, language
):
    headers, action = {"accept-language": language}, reverse("admin:tenants_tenant_action", args=[tenant.pk, "try_now"])
    assert action not in client.get(operator_page, headers=headers).text
    crm_world.break_down("503", host=crm.host, retry_after=1800)
    add_missed()
    crm_world.repair()
    pbx.unavailable_methods = {LEGS}
    add_answered()
    pbx.unavailable_methods = set()
    assert action in client.get(operator_page, headers=headers).text
    assert client.get(action, headers=headers).status_code == 200
    assert crm.calls == []
    client.post(action, headers=headers)
    run_queue()
    assert len(crm.calls) == 2
    assert (denied(UisConnection, tenant), CrmConnection.objects.get(tenant=tenant).retry_at) == ([], None)
    assert AuditLogEntry.objects.get().action == "TRIED_NOW"
    client.post(action, headers=headers)
    assert AuditLogEntry.objects.count() == 1


def test_try_now_asks_again_for_points_and_for_access(
    client, clock, tenant, pbx, crm, add_answered, operator_page, run_queue
):
    action = reverse("admin:tenants_tenant_action", args=[tenant.pk, "try_now"])
    pbx.day_limit = 0
    add_answered()
    pbx.day_limit = 3500
    client.post(action)
    run_queue()
    assert len(crm.calls) == 1
    pbx.token_state = "blocked"
    add_answered(2)
    assert denied(UisConnection, tenant) == ["account"]
    pbx.token_state = "valid"
    client.post(action)
    run_queue()
    assert denied(UisConnection, tenant) == []
    task_queue.sweep()
    assert len(crm.calls) == 2


def test_calls_that_wait_for_points_for_days_are_not_given_up(clock, tenant, pbx, crm, uis_world, add_answered):
    pbx.day_limit = 0
    add_answered()
    for _try in range(10):
        clock.shift(timedelta(hours=9))
        task_queue.sweep()
    assert set(Call.objects.values_list("reason", "attempts", "failed_at")) == {("UIS_QUOTA", 0, None)}
    pbx.day_limit = 3500
    uis_world.break_down("503", times=1)
    for _minute in range(2):
        clock.shift(timedelta(minutes=32))
        task_queue.sweep()
    assert len(crm.calls) == 1
