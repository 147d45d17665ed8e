"""Every wrong setting fails its own check, and no other."""

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from connector_project.core import http_client
from connector_project.core.check_results import CHECKS
from connector_project.operations.checks import runner
from crm import client_factory, integration_module
from crm.retailcrm.client import RetailCrmClient
from telephony.uis.client import UisClient
from tenants import onboarding
from tenants.models import CheckRun, CrmConnection, Employee, UisConnection, VirtualNumber
from tenants.rules import PopupChoice, StatusSync
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.fakes.uis_attribution import add_campaign
from tests.flows.templates import send_every_event
from tests.rules import publish_rules

pytestmark = pytest.mark.one_database

DATA_API = "UIS_DATA_API"


@pytest.fixture
def healthy(tenant, pbx, crm, client, hook, run_queue):
    """A correctly set up tenant: all employees are linked, every event has been received."""
    crm.add_user(29, first_name="Анна", last_name="Сидорова", email="anna@example.com")
    call_command("sync_employees", "--tenant=romashka", stdout=StringIO())
    send_every_event(client, hook, pbx)
    run_queue()
    tenant.refresh_from_db()
    return tenant


def failed_checks(tenant):
    """Return the failed checks by code."""
    tenant = type(tenant).objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk)
    return {found.check.code: found for found in runner.run(tenant, now=timezone.now()) if not found.ok}


def change(part, **values):
    """Set values without calling save()."""
    type(part).objects.filter(pk=part.pk).update(**values)


def _key(setup, value):
    setup.tenant.uis.access_token = value
    setup.tenant.uis.save()


def _crm(setup, **values):
    for name, value in values.items():
        setattr(setup.tenant.crm, name, value)
    setup.tenant.crm.save()


def _module(setup):
    return setup.crm.modules[integration_module.code(setup.tenant)]


def _spend(setup):
    setup.pbx.day_limit = setup.pbx.minute_limit = 1000
    setup.pbx.spent["data"] += [timezone.now()] * 900


def _late_rings(setup):
    call = setup.pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=timezone.now())
    for number in range(9):
        body = call.notification("waiting", employee_id=IVAN)
        body = {**json.loads(body), "leg_id": 7000 + number} if isinstance(body, str) else {**body, "leg_id": number}
        wrong_time = timezone.now() + timedelta(hours=1)
        body["notification_time"] = setup.pbx.stamp(wrong_time)
        setup.client.post(setup.hook, json.dumps(body), content_type="application/json")
    task_queue.process_notifications()


def _foreign_call(setup):
    began = timezone.now() - timedelta(days=1)
    local = began.strftime("%Y-%m-%d %H:%M:%S")
    row = {"externalId": "other-1", "type": "in", "date": local, "phone": "+79990000009", "result": "answered"}
    setup.crm.calls.append({**row, "_manager": None})


def _own_integration(setup):
    setup.pbx.call(contact=CONTACT, number=NUMBER, source="retailcrm", started_at=timezone.now() - timedelta(hours=3))


def _two_stores(setup):
    setup.crm.sites = ["shop-one", "shop-two"]


def _share_extension(setup):
    setup.pbx.employees[PETR]["extension"]["extension_phone_number"] = "101"


def _share_account(setup):
    other = onboarding.create_tenant(onboarding.NewTenant(name="Другой"), now=timezone.now())
    UisConnection.objects.filter(tenant=setup.tenant).update(holds_account=False)
    UisConnection.objects.filter(tenant=other).update(account_id=str(setup.pbx.app_id), holds_account=True)


def _share_address(setup):
    other = onboarding.create_tenant(onboarding.NewTenant(name="Другой"), now=timezone.now())
    CrmConnection.objects.filter(tenant=other).update(address=f"https://{setup.crm.host}/")


def _lock_numbers(setup):
    for row in setup.pbx.numbers.values():
        row["status"] = "manual_lock"


def _unlink(setup):
    Employee.objects.filter(tenant=setup.tenant, uis_id=ANNA).update(crm_user_id=None)


def _without_https(setup):
    setup.settings.PUBLIC_URL = "http://connector.example.com"
    client = client_factory.crm_client(setup.tenant.crm)
    integration_module.register(setup.tenant, client, now=timezone.now(), is_forced=True)


def _remove_event(setup, event):
    setup.tenant.notifications.filter(event=event).delete()


def _break(setup, event, old, new):
    """Send the event once more, from a broken template."""
    send_every_event(setup.client, setup.hook, setup.pbx, only=event, change_body=lambda body: body.replace(old, new))


def _v4_only(setup):
    """Two-way status sync was chosen before the account lost version 5."""
    publish_rules(setup.tenant, status_sync=StatusSync.BOTH)
    setup.crm.serves_v5 = False
    _crm(setup, served_version="v4")
    integration_module.register(
        setup.tenant, client_factory.crm_client(setup.tenant.crm), now=timezone.now(), is_forced=True
    )


ALSO = {"CRM_STATUS_SYNC": {"CRM_TIME_ZONE"}}  # Version 4 tells no time zone.


def _campaign(setup):
    add_campaign(setup.pbx, 7, "Весна", number=NUMBER)
    VirtualNumber.objects.filter(number=NUMBER).update(attribution={"campaign": "Весна"})


WRONG_SETTINGS = {
    "UIS_KEY_GIVEN": lambda setup: _key(setup, ""),
    "UIS_KEY": lambda setup: _key(setup, "no-such-key"),
    "UIS_KEY_TERM": lambda setup: setattr(setup.pbx, "token_state", "expired"),
    "UIS_KEY_BLOCK": lambda setup: setattr(setup.pbx, "token_state", "blocked"),
    "UIS_ADDRESS_LIST": lambda setup: setattr(setup.pbx, "allowed_addresses", ["198.51.100.0/24"]),
    "UIS_ACCOUNT": lambda setup: setattr(setup.pbx, "is_active", False),
    "UIS_ACCOUNT_USED": _share_account,
    "RULES_PASS": lambda setup: publish_rules(setup.tenant, contact_filter="ONLY"),
    "CRM_ACCOUNT_USED": _share_address,
    "UIS_ANSWERS": lambda setup: setup.uis.break_down("503"),
    "UIS_TIME_ZONE": lambda setup: setattr(setup.pbx, "reported_timezone", "Mars/Olympus"),
    "UIS_POINTS": _spend,
    "UIS_RIGHT_EMPLOYEES": lambda setup: setup.pbx.permissions.discard("employees: select"),
    "UIS_RIGHT_STATUSES": lambda setup: setup.pbx.permissions.discard("employees: update"),
    "UIS_RIGHT_NUMBERS": lambda setup: setup.pbx.permissions.discard("number_management: select"),
    "UIS_DATA_API": lambda setup: setup.pbx.unavailable_methods.add("get.calls_report"),
    "UIS_CALL_API": lambda setup: setup.pbx.components.clear(),
    "UIS_RIGHT_CALL_API": lambda setup: setattr(setup.pbx, "has_call_api_access", False),
    "UIS_EMPLOYEES": lambda setup: setup.pbx.employees.clear(),
    "UIS_EXTENSIONS": lambda setup: setup.pbx.employees[IVAN].update(extension={}),
    "UIS_EXTENSIONS_UNIQUE": _share_extension,
    "UIS_NUMBERS": _lock_numbers,
    "UIS_CAMPAIGNS": lambda setup: (_campaign(setup), setup.pbx.unavailable_methods.add("get.campaigns")),
    "UIS_ATTRIBUTION": lambda setup: (_campaign(setup), setup.pbx.refused_columns.add("utm_source")),
    "DEFAULT_NUMBER": lambda setup: VirtualNumber.objects.update(is_default=False),
    "UIS_OWN_INTEGRATION": _own_integration,
    "CLOCKS": _late_rings,
    "CRM_KEY_GIVEN": lambda setup: _crm(setup, key=""),
    "CRM_ADDRESS": lambda setup: _crm(setup, address="https://shop.example.com"),
    "CRM_ACCOUNT": lambda setup: _crm(setup, address="https://unknown.retailcrm.ru"),
    "CRM_KEY": lambda setup: _crm(setup, key="no-such-key"),
    "CRM_ANSWERS": lambda setup: setup.retailcrm.break_down("503"),
    "CRM_VERSION": lambda setup: (setattr(setup.crm, "serves_v4", False), _crm(setup, version="v4")),
    "CRM_STATUS_SYNC": _v4_only,
    "CRM_SCOPE_INTEGRATION_READ": lambda setup: setup.crm.scopes.discard("integration_read"),
    "CRM_SCOPE_INTEGRATION_WRITE": lambda setup: setup.crm.scopes.discard("integration_write"),
    "CRM_SCOPE_TELEPHONY_READ": lambda setup: setup.crm.scopes.discard("telephony_read"),
    "CRM_SCOPE_TELEPHONY_WRITE": lambda setup: setup.crm.scopes.discard("telephony_write"),
    "CRM_SCOPE_USER_READ": lambda setup: setup.crm.scopes.discard("user_read"),
    "CRM_SCOPE_USER_WRITE": lambda setup: (
        publish_rules(setup.tenant, status_sync=StatusSync.BOTH),
        setup.crm.scopes.discard("user_write"),
    ),
    "CRM_STORES": lambda setup: _crm(setup, site="closed-shop"),
    "CRM_STORE_CHOSEN": _two_stores,
    "CRM_TIME_ZONE": lambda setup: setattr(setup.crm, "settings_scope", "order_read"),
    "MODULE_REGISTERED": lambda setup: setup.crm.modules.clear(),
    "MODULE_FROZEN": lambda setup: _module(setup).update(freeze=True),
    "MODULE_ACTIVE": lambda setup: _module(setup).update(active=False),
    "MODULE_ADDRESSES": lambda setup: _module(setup)["integrations"]["telephony"].update(
        makeCallUrl="https://other.example.com/call"
    ),
    "OTHER_TELEPHONY": _foreign_call,
    "USERS_LINKED": _unlink,
    "PUBLIC_ADDRESS": _without_https,
    "EVENT_WAITING": lambda setup: _remove_event(setup, "waiting"),
    "EVENT_OUTGOING": lambda setup: _remove_event(setup, "outgoing"),
    "EVENT_TALK_STARTED": lambda setup: _remove_event(setup, "talk_started"),
    "EVENT_CALL_END": lambda setup: _remove_event(setup, "call_end"),
    "EVENT_LOST_CALL": lambda setup: _remove_event(setup, "lost_call"),
    "EVENT_RECORDED": lambda setup: _remove_event(setup, "recorded"),
    "TEMPLATE_WAITING": lambda setup: _break(setup, "waiting", '"employee_id"', '"employee"'),
    "TEMPLATE_OUTGOING": lambda setup: _break(setup, "outgoing", '"event": "outgoing"', '"event": "incoming"'),
    "TEMPLATE_TALK_STARTED": lambda setup: _break(setup, "talk_started", '"employee_id"', '"employee"'),
    "TEMPLATE_CALL_END": lambda setup: _break(setup, "call_end", '"79990000001"', '""79990000001""'),
    "TEMPLATE_LOST_CALL": lambda setup: _break(setup, "lost_call", ",\n", "\n"),
    "TEMPLATE_RECORDED": lambda setup: _break(setup, "recorded", '"file_link"', '"link"'),
}


@pytest.fixture
def setup(healthy, pbx, crm, uis_world, crm_world, client, hook, settings):
    """The tenant, both vendors and everything else a wrong setting can change."""
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
def test_correctly_set_up_tenant_fails_no_check(setup):
    assert failed_checks(setup.tenant) == {}


@pytest.mark.slow
@pytest.mark.parametrize("code", WRONG_SETTINGS)
def test_wrong_setting_fails_only_its_own_check(setup, code):
    WRONG_SETTINGS[code](setup)
    found = failed_checks(setup.tenant)
    assert set(found) - ALSO.get(code, set()) == {code}
    for language in ("ru", "en"):
        with translation.override(language):
            assert "%(" not in found[code].message
            assert "…" not in found[code].message  # "…" replaces a missing value
    assert found[code].check.responsible in {"client", "operator", "uis", "crm"}


def test_every_check_has_a_wrong_setting_under_test():
    assert set(WRONG_SETTINGS) == set(CHECKS)


@pytest.mark.slow
def test_message_contains_the_value_to_enter(setup):
    setup.pbx.is_whitelisted = False
    assert "203.0.113.10" in failed_checks(setup.tenant)["UIS_ADDRESS_LIST"].message
    setup.pbx.is_whitelisted = True
    _share_extension(setup)
    assert "Петров Пётр (101)" in failed_checks(setup.tenant)["UIS_EXTENSIONS_UNIQUE"].message


def test_command_prints_a_line_for_each_check(setup):
    setup.crm.scopes.discard("telephony_read")
    out, err = StringIO(), StringIO()
    call_command("check_tenant", "--tenant=romashka", stdout=out, stderr=err)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert all(set(line) == {"check", "ok", "message", "responsible"} for line in lines)
    assert [line["check"] for line in lines if not line["ok"]] == ["CRM_SCOPE_TELEPHONY_READ"]
    assert len({line["check"] for line in lines}) == len(lines) > 35
    assert "OTHER_TELEPHONY" in err.getvalue()


def test_command_for_an_unknown_tenant_exits_2(db):
    with pytest.raises(CommandError) as error:
        call_command("check_tenant", "--tenant=unknown")
    assert error.value.returncode == 2


@pytest.mark.slow
def test_results_are_stored_and_read_without_requests(setup, uis_world, crm_world):
    _unlink(setup)
    failed_checks(setup.tenant)
    uis_world.requests.clear()
    crm_world.requests.clear()
    setup.tenant.refresh_from_db()
    stored = runner.stored_results(setup.tenant.check_run)
    assert [found.check.code for found in stored if not found.ok] == ["USERS_LINKED"]
    assert (setup.tenant.check_run.failed_count, uis_world.requests, crm_world.requests) == (1, [], [])


@pytest.mark.slow
def test_checks_change_nothing_at_the_vendors(setup, crm_world):
    before = json.dumps([setup.crm.modules, setup.crm.users, setup.pbx.employees], sort_keys=True, default=str)
    crm_world.requests.clear()
    failed_checks(setup.tenant)
    assert json.dumps([setup.crm.modules, setup.crm.users, setup.pbx.employees], sort_keys=True, default=str) == before
    assert [request for request in crm_world.requests if request.method != "GET"] == []


@pytest.mark.slow
def test_checks_of_one_tenant_do_not_check_another(setup, stranger, uis_world):
    uis_world.requests.clear()
    failed_checks(setup.tenant)
    assert {request.token for request in uis_world.requests} == {"uis-token"}
    assert not hasattr(stranger, "check_run")


@pytest.mark.slow
def test_vendor_that_fails_during_the_run_fails_its_check_only_once(setup, monkeypatch):
    def raise_unavailable(*_args, **_more):
        raise http_client.RemoteUnavailable("UIS", "Unavailable.")

    monkeypatch.setattr(UisClient, "virtual_numbers", raise_unavailable)
    monkeypatch.setattr(RetailCrmClient, "time_zone", raise_unavailable)
    found = [finding.check.code for finding in runner.run(setup.tenant, now=timezone.now())]
    assert sorted(found) == sorted(set(found))
    assert set(failed_checks(setup.tenant)) == {"UIS_ANSWERS", "CRM_ANSWERS"}


@pytest.mark.slow
def test_missing_component_found_by_several_checks_gives_one_result(setup):
    setup.pbx.unavailable_methods |= {"get.employees", "get.virtual_numbers", "get.calls_report"}
    found = [result.ok for result in runner.run(setup.tenant, now=timezone.now()) if result.check.code == DATA_API]
    assert found == [False]


@pytest.mark.slow
def test_stored_results_of_another_version_show_missing_values_as_dots(setup):
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
def test_calls_of_another_tenant_in_the_same_crm_account_are_not_other_telephony(setup):
    _foreign_call(setup)
    setup.crm.calls[-1]["externalId"] = "uis-77"
    assert failed_checks(setup.tenant) == {}


@pytest.mark.slow
def test_probe_rejected_for_an_invalid_session_fails_no_check(setup, monkeypatch):
    def reject(_self, _session_id):
        raise http_client.RemoteRejected("UIS", "Invalid parameter value", code="invalid_parameter_value")

    monkeypatch.setattr(UisClient, "release_call", reject)
    assert failed_checks(setup.tenant) == {}


@pytest.mark.slow
def test_scopes_of_a_version_4_key_are_found_by_its_methods(setup):
    setup.crm.serves_v5, setup.crm.scopes = False, set()
    telephony = ("setting/{code}", "setting/{code}/edit", "call/event", "calls/upload", "manager")
    setup.crm.credentials = [*(f"/api/telephony/{name}" for name in telephony), "/api/users", "/api/settings"]
    found = failed_checks(setup.tenant)
    assert not [code for code in found if code.startswith("CRM_SCOPE")]
    setup.crm.credentials.remove("/api/telephony/setting/{code}/edit")
    assert "CRM_SCOPE_INTEGRATION_WRITE" in failed_checks(setup.tenant)


# --- settings that fail no check


@pytest.mark.slow
def test_employee_who_needs_no_crm_user_fails_no_check(setup):
    _unlink(setup)
    Employee.objects.filter(uis_id=ANNA).update(linked_by=Employee.LinkedBy.NOT_NEEDED)
    assert failed_checks(setup.tenant) == {}


@pytest.mark.slow
def test_dismissed_employee_without_a_crm_user_fails_no_check(setup):
    _unlink(setup)
    Employee.objects.filter(tenant=setup.tenant, uis_id=ANNA).update(is_dismissed=True)
    assert failed_checks(setup.tenant) == {}


def test_only_virtual_number_needs_no_default(setup):
    VirtualNumber.objects.update(is_default=False)
    setup.pbx.numbers = dict(list(setup.pbx.numbers.items())[:1])
    assert failed_checks(setup.tenant) == {}


def test_inactive_default_number_fails_its_check(setup):
    next(iter(setup.pbx.numbers.values()))["status"] = "manual_lock"
    assert list(failed_checks(setup.tenant)) == ["DEFAULT_NUMBER"]


def test_calls_of_another_telephony_a_week_ago_fail_no_check(setup):
    _foreign_call(setup)
    setup.crm.calls[-1]["date"] = (timezone.now() - timedelta(days=8)).strftime("%Y-%m-%d %H:%M:%S")
    assert failed_checks(setup.tenant) == {}


def test_missing_status_right_fails_no_check_without_status_sync(setup):
    publish_rules(setup.tenant, status_sync=StatusSync.OFF)
    setup.pbx.permissions.discard("employees: update")
    assert failed_checks(setup.tenant) == {}


def test_missing_events_of_disabled_features_fail_no_check(setup):
    publish_rules(setup.tenant, popup_outgoing=PopupChoice.OFF, send_recording=False)
    _remove_event(setup, "outgoing")
    _remove_event(setup, "recorded")
    assert failed_checks(setup.tenant) == {}
