"""Every wrong set-up fails its own check, and no other."""

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from connector_project.core import http_client
from connector_project.operations.checks import runner
from crm import client_factory, integration_module
from crm.retailcrm.client import RetailCrmClient
from telephony import checks as uis_checks
from telephony.uis.client import UisClient
from tenants.models import CheckRun, Employee, TransferRules, VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.flows.templates import send_every_event

DATA_API = "UIS_DATA_API"


@pytest.fixture
def healthy(tenant, pbx, crm, client, hook, run_queue):
    """A tenant with nothing wrong: all employees are linked, every event has come."""
    crm.add_user(29, first_name="Анна", last_name="Сидорова", email="anna@example.com")
    call_command("sync_employees", "--tenant=romashka", stdout=StringIO())
    send_every_event(client, hook, pbx)
    run_queue()
    tenant.refresh_from_db()
    return tenant


def failing(tenant):
    """Return the failing checks by code."""
    tenant = type(tenant).objects.select_related("uis", "crm", "rules").get(pk=tenant.pk)
    return {found.check.code: found for found in runner.run(tenant, now=timezone.now()) if not found.ok}


def change(part, **values):
    """Set values a person could have typed."""
    type(part).objects.filter(pk=part.pk).update(**values)


def _key(world, value):
    world.tenant.uis.access_token = value
    world.tenant.uis.save()


def _crm(world, **values):
    for name, value in values.items():
        setattr(world.tenant.crm, name, value)
    world.tenant.crm.save()


def _module(world):
    return world.crm.modules[integration_module.code(world.tenant)]


def _spend(world):
    world.pbx.day_limit = world.pbx.minute_limit = 1000
    world.pbx.spent["data"] += [timezone.now()] * 900


def _late_rings(world):
    call = world.pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=timezone.now())
    for number in range(9):
        body = call.notification("waiting", employee_id=IVAN)
        body = {**json.loads(body), "leg_id": 7000 + number} if isinstance(body, str) else {**body, "leg_id": number}
        an_hour_off = timezone.now() + timedelta(hours=1)
        body["notification_time"] = world.pbx.stamp(an_hour_off)
        world.client.post(world.hook, json.dumps(body), content_type="application/json")
    task_queue.process_notifications()


def _foreign_call(world):
    began = timezone.now() - timedelta(days=1)
    local = began.strftime("%Y-%m-%d %H:%M:%S")
    row = {"externalId": "other-1", "type": "in", "date": local, "phone": "+79990000009", "result": "answered"}
    world.crm.calls.append({**row, "_manager": None})


def _own_integration(world):
    world.pbx.call(contact=CONTACT, number=NUMBER, source="retailcrm", started_at=timezone.now() - timedelta(hours=3))


def _two_stores(world):
    world.crm.sites = ["shop-one", "shop-two"]


def _share_extension(world):
    world.pbx.employees[PETR]["extension"]["extension_phone_number"] = "101"


def _lock_numbers(world):
    for row in world.pbx.numbers.values():
        row["status"] = "manual_lock"


def _unlink(world):
    Employee.objects.filter(tenant=world.tenant, uis_id=ANNA).update(crm_user_id=None)


def _without_https(world):
    world.settings.PUBLIC_URL = "http://connector.example.com"
    client = client_factory.crm_client(world.tenant.crm)
    integration_module.register(world.tenant, client, now=timezone.now(), is_forced=True)


def _silence(world, event):
    world.tenant.notifications.filter(event=event).delete()


def _break(world, event, old, new):
    """Send the event once more, from a broken template."""
    send_every_event(world.client, world.hook, world.pbx, only=event, spoil=lambda body: body.replace(old, new))


WRONG = {
    "UIS_KEY_GIVEN": lambda world: _key(world, ""),
    "UIS_KEY": lambda world: _key(world, "no-such-key"),
    "UIS_KEY_TERM": lambda world: setattr(world.pbx, "token_state", "expired"),
    "UIS_KEY_BLOCK": lambda world: setattr(world.pbx, "token_state", "blocked"),
    "UIS_ADDRESS_LIST": lambda world: setattr(world.pbx, "is_whitelisted", False),
    "UIS_ACCOUNT": lambda world: setattr(world.pbx, "is_active", False),
    "UIS_ANSWERS": lambda world: world.uis.break_down("503"),
    "UIS_TIME_ZONE": lambda world: setattr(world.pbx, "reported_timezone", "Mars/Olympus"),
    "UIS_POINTS": _spend,
    "UIS_RIGHT_EMPLOYEES": lambda world: world.pbx.permissions.discard("employees: select"),
    "UIS_RIGHT_STATUSES": lambda world: world.pbx.permissions.discard("employees: update"),
    "UIS_RIGHT_NUMBERS": lambda world: world.pbx.permissions.discard("number_management: select"),
    "UIS_DATA_API": lambda world: world.pbx.unavailable_methods.add("get.calls_report"),
    "UIS_CALL_API": lambda world: world.pbx.components.clear(),
    "UIS_RIGHT_CALL_API": lambda world: setattr(world.pbx, "has_call_api_access", False),
    "UIS_EMPLOYEES": lambda world: world.pbx.employees.clear(),
    "UIS_EXTENSIONS": lambda world: world.pbx.employees[IVAN].update(extension={}),
    "UIS_EXTENSIONS_UNIQUE": _share_extension,
    "UIS_NUMBERS": _lock_numbers,
    "DEFAULT_NUMBER": lambda world: VirtualNumber.objects.update(is_default=False),
    "UIS_OWN_INTEGRATION": _own_integration,
    "CLOCKS": _late_rings,
    "CRM_KEY_GIVEN": lambda world: _crm(world, key=""),
    "CRM_ADDRESS": lambda world: _crm(world, address="https://shop.example.com"),
    "CRM_ACCOUNT": lambda world: _crm(world, address="https://nobody.retailcrm.ru"),
    "CRM_KEY": lambda world: _crm(world, key="no-such-key"),
    "CRM_ANSWERS": lambda world: world.retailcrm.break_down("503"),
    "CRM_VERSION": lambda world: (setattr(world.crm, "serves_v4", False), _crm(world, version="v4")),
    "CRM_SCOPE_INTEGRATION_READ": lambda world: world.crm.scopes.discard("integration_read"),
    "CRM_SCOPE_INTEGRATION_WRITE": lambda world: world.crm.scopes.discard("integration_write"),
    "CRM_SCOPE_TELEPHONY_READ": lambda world: world.crm.scopes.discard("telephony_read"),
    "CRM_SCOPE_TELEPHONY_WRITE": lambda world: world.crm.scopes.discard("telephony_write"),
    "CRM_SCOPE_USER_READ": lambda world: world.crm.scopes.discard("user_read"),
    "CRM_SCOPE_USER_WRITE": lambda world: (
        change(world.tenant.rules, status_sync=TransferRules.StatusSync.BOTH),
        world.crm.scopes.discard("user_write"),
    ),
    "CRM_STORES": lambda world: _crm(world, site="closed-shop"),
    "CRM_STORE_CHOSEN": _two_stores,
    "CRM_TIME_ZONE": lambda world: setattr(world.crm, "settings_scope", "order_read"),
    "MODULE_REGISTERED": lambda world: world.crm.modules.clear(),
    "MODULE_FROZEN": lambda world: _module(world).update(freeze=True),
    "MODULE_ACTIVE": lambda world: _module(world).update(active=False),
    "MODULE_ADDRESSES": lambda world: _module(world)["integrations"]["telephony"].update(
        makeCallUrl="https://other.example.com/call"
    ),
    "OTHER_TELEPHONY": _foreign_call,
    "USERS_LINKED": _unlink,
    "PUBLIC_ADDRESS": _without_https,
    "EVENT_WAITING": lambda world: _silence(world, "waiting"),
    "EVENT_OUTGOING": lambda world: _silence(world, "outgoing"),
    "EVENT_TALK_STARTED": lambda world: _silence(world, "talk_started"),
    "EVENT_CALL_END": lambda world: _silence(world, "call_end"),
    "EVENT_LOST_CALL": lambda world: _silence(world, "lost_call"),
    "EVENT_RECORDED": lambda world: _silence(world, "recorded"),
    "TEMPLATE_WAITING": lambda world: _break(world, "waiting", '"employee_id"', '"employee"'),
    "TEMPLATE_OUTGOING": lambda world: _break(world, "outgoing", '"event": "outgoing"', '"event": "incoming"'),
    "TEMPLATE_TALK_STARTED": lambda world: _break(world, "talk_started", '"employee_id"', '"employee"'),
    "TEMPLATE_CALL_END": lambda world: _break(world, "call_end", '"79990000001"', '""79990000001""'),
    "TEMPLATE_LOST_CALL": lambda world: _break(world, "lost_call", ",\n", "\n"),
    "TEMPLATE_RECORDED": lambda world: _break(world, "recorded", '"file_link"', '"link"'),
}


@pytest.fixture
def world(healthy, pbx, crm, uis_world, crm_world, client, hook, settings):
    """Everything a set-up consists of."""
    from types import SimpleNamespace

    return SimpleNamespace(
        tenant=healthy,
        pbx=pbx,
        crm=crm,
        uis=uis_world,
        retailcrm=crm_world,
        client=client,
        hook=hook,
        settings=settings,
    )


@pytest.mark.slow
def test_nothing_is_wrong_with_a_healthy_client(world):
    assert failing(world.tenant) == {}


@pytest.mark.slow
@pytest.mark.parametrize("code", WRONG)
def test_wrong_set_up_fails_its_own_check_alone(world, code):
    WRONG[code](world)
    found = failing(world.tenant)
    assert list(found) == [code]
    for language in ("ru", "en"):
        with translation.override(language):
            assert "%(" not in found[code].message
            assert "…" not in found[code].message  # stands for a missing value
    assert found[code].check.responsible in {"client", "operator", "uis", "crm"}


def test_every_check_has_a_wrong_set_up():
    assert set(WRONG) == set(runner.CHECKS)


@pytest.mark.slow
def test_message_names_the_value_to_enter(world):
    world.pbx.is_whitelisted = False
    assert "203.0.113.10" in failing(world.tenant)["UIS_ADDRESS_LIST"].message
    world.pbx.is_whitelisted = True
    _share_extension(world)
    assert "Петров Пётр (101)" in failing(world.tenant)["UIS_EXTENSIONS_UNIQUE"].message


def test_command_prints_a_line_for_each_check(world):
    world.crm.scopes.discard("telephony_read")
    out, err = StringIO(), StringIO()
    call_command("check_tenant", "--tenant=romashka", stdout=out, stderr=err)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert all(set(line) == {"check", "ok", "message", "responsible"} for line in lines)
    assert [line["check"] for line in lines if not line["ok"]] == ["CRM_SCOPE_TELEPHONY_READ"]
    assert len({line["check"] for line in lines}) == len(lines) > 35
    assert "OTHER_TELEPHONY" in err.getvalue()


def test_command_for_an_unknown_tenant_exits_2(db):
    with pytest.raises(CommandError) as error:
        call_command("check_tenant", "--tenant=nobody")
    assert error.value.returncode == 2


@pytest.mark.slow
def test_results_are_stored_and_read_without_requests(world, uis_world, crm_world):
    _unlink(world)
    failing(world.tenant)
    uis_world.requests.clear()
    crm_world.requests.clear()
    world.tenant.refresh_from_db()
    stored = runner.stored_results(world.tenant.check_run)
    assert [found.check.code for found in stored if not found.ok] == ["USERS_LINKED"]
    assert (world.tenant.check_run.failed_count, uis_world.requests, crm_world.requests) == (1, [], [])


@pytest.mark.slow
def test_checks_change_nothing_at_the_vendors(world, crm_world):
    before = json.dumps([world.crm.modules, world.crm.users, world.pbx.employees], sort_keys=True, default=str)
    crm_world.requests.clear()
    failing(world.tenant)
    assert json.dumps([world.crm.modules, world.crm.users, world.pbx.employees], sort_keys=True, default=str) == before
    assert [request for request in crm_world.requests if request.method != "GET"] == []


@pytest.mark.slow
def test_second_tenant_is_not_checked(world, stranger, uis_world):
    uis_world.requests.clear()
    failing(world.tenant)
    assert {request.token for request in uis_world.requests} == {"uis-token"}
    assert not hasattr(stranger, "check_run")


@pytest.mark.slow
def test_vendor_that_fails_in_the_middle_has_no_passed_check_as_well(world, monkeypatch):
    def away(*_args, **_more):
        raise http_client.RemoteUnavailable("UIS", "It is away.")

    monkeypatch.setattr(UisClient, "virtual_numbers", away)
    monkeypatch.setattr(RetailCrmClient, "time_zone", away)
    found = [finding.check.code for finding in runner.run(world.tenant, now=timezone.now())]
    assert sorted(found) == sorted(set(found))
    assert set(failing(world.tenant)) == {"UIS_ANSWERS", "CRM_ANSWERS"}


@pytest.mark.slow
def test_missing_component_found_by_several_checks_is_one_result(world):
    world.pbx.unavailable_methods |= {"get.employees", "get.virtual_numbers", "get.calls_report"}
    found = [
        one.ok for one in uis_checks.account_checks(world.tenant, now=timezone.now()) if one.check.code == DATA_API
    ]
    assert found == [False]


@pytest.mark.slow
def test_results_of_another_version_are_shown_as_far_as_possible(world):
    stored = [
        {"check": "UIS_POINTS", "ok": False, "params": {}},
        {"check": "CRM_VERSION", "ok": True, "params": {"renamed": "v5"}},
        {"check": "EVENT_NO_MORE", "ok": True, "params": {}},
        {"ok": True},
    ]
    points, version = runner.stored_results(CheckRun(results=stored))
    with translation.override("en"):
        assert points.message.startswith(_without_values(points.check.failed))
        assert version.message == _without_values(version.check.passed)
    assert "…" in points.message
    assert "…" in version.message


def _without_values(text):
    return re.sub(r"%\(\w+\)s", "…", str(text)).replace("%%", "%")


@pytest.mark.slow
def test_calls_of_another_client_in_the_same_account_are_no_other_telephony(world):
    _foreign_call(world)
    world.crm.calls[-1]["externalId"] = "uis-77"
    assert failing(world.tenant) == {}


@pytest.mark.slow
def test_session_that_cannot_be_may_be_refused_as_a_bad_value(world, monkeypatch):
    def refuse(_self, _session_id):
        raise http_client.RemoteRejected("UIS", "Invalid parameter value", code="invalid_parameter_value")

    monkeypatch.setattr(UisClient, "release_call", refuse)
    assert failing(world.tenant) == {}


@pytest.mark.slow
def test_old_key_of_version_4_is_known_by_the_methods_of_version_4(world):
    world.crm.serves_v5, world.crm.scopes = False, set()
    telephony = ("setting/{code}", "setting/{code}/edit", "call/event", "calls/upload", "manager")
    world.crm.credentials = [*(f"/api/telephony/{name}" for name in telephony), "/api/users", "/api/settings"]
    found = failing(world.tenant)
    assert not [code for code in found if code.startswith("CRM_SCOPE")]
    world.crm.credentials.remove("/api/telephony/setting/{code}/edit")
    assert "CRM_SCOPE_INTEGRATION_WRITE" in failing(world.tenant)


# --- what must not fail


@pytest.mark.slow
def test_who_works_without_the_crm_is_not_missed_there(world):
    _unlink(world)
    Employee.objects.filter(uis_id=ANNA).update(linked_by=Employee.LinkedBy.NOT_NEEDED)
    assert failing(world.tenant) == {}


@pytest.mark.slow
def test_who_was_dismissed_is_not_missed_in_the_crm(world):
    _unlink(world)
    Employee.objects.filter(tenant=world.tenant, uis_id=ANNA).update(is_dismissed=True)
    assert failing(world.tenant) == {}


def test_only_number_there_is_needs_no_choice(world):
    VirtualNumber.objects.update(is_default=False)
    world.pbx.numbers = dict(list(world.pbx.numbers.items())[:1])
    assert failing(world.tenant) == {}


def test_chosen_number_must_be_active(world):
    next(iter(world.pbx.numbers.values()))["status"] = "manual_lock"
    assert list(failing(world.tenant)) == ["DEFAULT_NUMBER"]


def test_calls_another_telephony_wrote_long_ago_are_history(world):
    _foreign_call(world)
    world.crm.calls[-1]["date"] = (timezone.now() - timedelta(days=8)).strftime("%Y-%m-%d %H:%M:%S")
    assert failing(world.tenant) == {}


def test_right_to_statuses_is_not_needed_where_none_are_passed(world):
    change(world.tenant.rules, status_sync=TransferRules.StatusSync.OFF)
    world.pbx.permissions.discard("employees: update")
    assert failing(world.tenant) == {}


def test_events_of_what_is_switched_off_are_not_missed(world):
    change(world.tenant.rules, popup_outgoing=TransferRules.Popup.OFF, send_recording=False)
    _silence(world, "outgoing")
    _silence(world, "recorded")
    assert failing(world.tenant) == {}
