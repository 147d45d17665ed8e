"""Callbacks about our module: switched off and on, frozen, the account renamed, its time zone changed."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from connector_project.core.secret_tokens import columns
from connector_project.operations.onboarding import steps
from crm import integration_module
from crm import tasks as crm_tasks
from crm.models import Command
from telephony import tasks as uis_tasks
from tenants import account_claims
from tenants.models import CrmConnection, Employee
from tests.conftest import CONTACT, CRM_HOST, IVAN, NUMBER

RENAMED = "renamed.retailcrm.ru"


@pytest.fixture
def send_callback(client, tenant):
    """Send a callback as the CRM does; return the HTTP status, the result and our denial code."""

    def send(active=True, freeze=False, address="", **changed):
        form = {
            "clientId": tenant.crm.client_id,
            "activity": json.dumps({"active": active, "freeze": freeze}),
            "systemUrl": address,
        } | changed
        answer = client.post(f"/hooks/retailcrm/{tenant.crm.hook}/activity/", form)
        tenant.crm.refresh_from_db()
        return answer.status_code, answer.json()["success"], tenant.crm.denied_code

    return send


@pytest.fixture
def rename(crm_world, crm):
    """Rename the CRM account, as its owner may."""

    def change():
        crm_world.accounts[RENAMED] = crm_world.accounts.pop(CRM_HOST)
        crm.host = RENAMED

    return change


@pytest.fixture
def switch(send_callback, crm, tenant):
    """Switch our module on or off in the CRM, as a user does there."""

    def change(*, active=True, freeze=False):
        crm.modules[integration_module.code(tenant)] |= {"active": active, "freeze": freeze}
        return send_callback(active=active, freeze=freeze)

    return change


@pytest.mark.parametrize("change", [{"active": False}, {"freeze": True}])
def test_module_switched_off_by_a_user_stays_off_until_they_switch_it_on(
    switch, notify, pbx, crm, crm_world, tenant, run_queue, later, change
):
    assert switch(**change) == (200, True, "telephony_off")
    stored = json.dumps(crm.modules, sort_keys=True)
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    # A sync with changes for the module.
    crm.add_user(29, first_name="Новый", email="new@example.com")
    pbx.add_employee(300009, "Новый Сотрудник", extension="109", email="new@example.com")
    for schedule in (crm_tasks.probe_all, uis_tasks.sync_all, crm_tasks.probe_all):
        schedule()
        run_queue()
    later(timedelta(minutes=1))
    tenant.crm.refresh_from_db()
    assert (tenant.crm.denied_code, json.dumps(crm.modules, sort_keys=True), crm.calls) == ("telephony_off", stored, [])
    assert switch() == (200, True, "")
    later(timedelta(minutes=1))
    assert len(crm.calls) == 1


def test_module_switched_on_again_is_noticed_after_a_lost_callback(switch, crm, tenant, run_queue):
    switch(active=False)
    crm.modules[integration_module.code(tenant)]["active"] = True
    crm_tasks.probe_all()
    run_queue()
    tenant.crm.refresh_from_db()
    assert tenant.crm.denied_code == ""


def test_activation_switches_the_module_on_again(switch, crm, tenant):
    switch(active=False)
    steps.activate(tenant, now=timezone.now())
    tenant.crm.refresh_from_db()
    assert (tenant.crm.denied_code, crm.modules[integration_module.code(tenant)]["active"]) == ("", True)


def test_probe_keeps_manual_extensions_of_the_module(crm, notify, pbx, tenant, run_queue):
    stored = crm.modules[integration_module.code(tenant)]
    stored["integrations"]["telephony"]["additionalCodes"].append({"userId": 28, "code": "777"})
    crm.add_user(29, first_name="Ольга")
    stored["integrations"]["telephony"]["additionalCodes"].append({"userId": 29, "code": "778"})
    tenant.crm.suspend("telephony_off", "", now=tenant.created_at)
    crm_tasks.probe_all()
    run_queue()
    codes = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["additionalCodes"]
    assert {"userId": 29, "code": "778"} in codes


@pytest.mark.parametrize("activity", ['{"active": "true", "freeze": "false"}', '{"active": 1, "freeze": 0}'])
def test_activity_is_parsed_in_any_format(send_callback, activity):
    send_callback(active=False)
    assert send_callback(activity=activity) == (200, True, "")
    assert send_callback(activity='{"active": "false"}') == (200, True, "telephony_off")


@pytest.mark.parametrize("kind", ["activity", "settings"])
def test_process_that_ends_in_a_callback_leaves_nothing_half_done(send_callback, client, tenant, monkeypatch, kind):
    def end(*_args, **_kwargs):
        raise SystemExit

    monkeypatch.setattr(Command, "close", end)
    zone = tenant.crm.time_zone
    form = {"clientId": tenant.crm.client_id, "activity": '{"active": false}'}
    with pytest.raises(SystemExit):
        client.post(
            f"/hooks/retailcrm/{tenant.crm.hook}/{kind}/", form | {"settings": '{"timezone": {"value": "UTC"}}'}
        )
    tenant.crm.refresh_from_db()
    assert (tenant.crm.denied_code, tenant.crm.time_zone, Command.objects.count()) == ("", zone, 0)


@pytest.mark.parametrize("activity", ["", "nonsense", "[]", "[" * 20_000, '{"a":' * 10_000])
def test_unreadable_activity_changes_nothing(send_callback, activity):
    assert send_callback(activity=activity) == (400, False, "")


def test_renamed_account_waits_for_its_key_and_then_gets_our_module(
    send_callback, rename, crm, crm_world, tenant, notify, pbx, later
):
    rename()
    crm.modules.clear()
    crm_world.requests.clear()
    assert send_callback(address=f"https://{RENAMED.upper()}/") == (200, True, "")
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    later(timedelta(minutes=6))
    tenant.crm.refresh_from_db()
    assert (tenant.crm.address, tenant.crm.key, tenant.crm.denied_code) == (f"https://{RENAMED}", "", "key_missing")
    assert {(request.host, request.path) for request in crm_world.requests} == {(RENAMED, "/api/system-info")}
    assert Employee.objects.get(uis_id=IVAN).crm_user_id == 27
    tenant.crm.change(key=crm.key)
    later(timedelta(minutes=6))
    tenant.crm.refresh_from_db()
    assert (tenant.crm.denied_code, tenant.crm.module_outdated_since) == ("", None)
    assert crm.modules[integration_module.code(tenant)]["active"] is True
    later(timedelta(minutes=30))
    assert len(crm.calls) == 1


@pytest.mark.parametrize("stored", ["public", "technical"])
@pytest.mark.parametrize("reported", ["public", "technical"])
def test_other_host_of_the_same_account_changes_nothing(send_callback, crm, tenant, run_queue, later, stored, reported):
    hosts = {"public": f"https://{CRM_HOST}", "technical": f"https://{crm.technical_host}"}
    CrmConnection.objects.update(address=hosts[stored], account_id=account_claims.crm_account_id(hosts["public"]))
    send_callback(address=hosts[reported])
    later(timedelta(minutes=6))
    tenant.crm.refresh_from_db()
    assert (tenant.crm.address, tenant.crm.key, tenant.crm.denied_code) == (hosts[stored], crm.key, "")
    assert tenant.crm.reported_address == ""


@pytest.mark.parametrize("is_lost", [True, False])
def test_reported_host_is_asked_again_until_it_answers(send_callback, rename, crm_world, tenant, run_queue, is_lost):
    rename()
    if not is_lost:
        crm_world.break_down("refused", times=1)
    send_callback(address=f"https://{RENAMED}")
    if is_lost:
        OrmQ.objects.all().delete()
    run_queue()
    assert CrmConnection.objects.get(tenant=tenant).reported_address
    crm_tasks.probe_all()
    run_queue()
    tenant.crm.refresh_from_db()
    assert (tenant.crm.address, tenant.crm.reported_address) == (f"https://{RENAMED}", "")


def test_callback_with_the_stored_address_takes_back_another_one(send_callback, rename, tenant, run_queue):
    rename()
    send_callback(address=f"https://{RENAMED}")
    send_callback(address=f"https://{CRM_HOST}")
    run_queue()
    tenant.crm.refresh_from_db()
    assert (tenant.crm.address, tenant.crm.key != "") == (f"https://{CRM_HOST}", True)


def test_unchanged_address_sends_no_request(send_callback, crm_world, run_queue, tenant):
    crm_world.requests.clear()
    send_callback(address=f"https://{CRM_HOST.upper()}/")
    assert (run_queue(), crm_world.requests) == (0, [])


@pytest.mark.parametrize(
    "address",
    ["https://evil.example.com", "http://a.retailcrm.ru", "https://a.retailcrm.ru:8443", "https://10.0.0.1", "\n"],
)
def test_foreign_address_is_rejected(send_callback, tenant, address, crm_world, run_queue, caplog):
    crm_world.requests.clear()
    assert send_callback(address=address) == (200, True, "")
    assert (tenant.crm.address, run_queue(), crm_world.requests) == (f"https://{CRM_HOST}", 0, [])
    assert not address.strip() or address not in caplog.text


def test_account_renamed_while_switched_off_stays_off(switch, send_callback, rename, crm, tenant, run_queue):
    switch(active=False)
    rename()
    send_callback(active=False, address=f"https://{RENAMED}")
    run_queue()
    tenant.crm.refresh_from_db()
    assert (tenant.crm.address, tenant.crm.denied_code) == (f"https://{RENAMED}", "key_missing")
    tenant.crm.change(key=crm.key)
    run_queue()
    tenant.crm.refresh_from_db()
    assert tenant.crm.denied_code == "telephony_off"
    assert crm.modules[integration_module.code(tenant)]["active"] is False


def test_callback_of_a_paused_tenant_is_stored(send_callback, tenant):
    type(tenant).objects.update(is_paused=True)
    assert send_callback(active=False) == (200, True, "telephony_off")
    assert send_callback() == (200, True, "")
    tenant.refresh_from_db()
    assert tenant.is_paused


@pytest.mark.parametrize("callback", ["activity", "settings"])
def test_wrong_client_id_changes_nothing_and_is_logged_as_a_security_event(client, tenant, stranger, callback, caplog):
    form = {
        "clientId": stranger.crm.client_id,
        "activity": '{"active": false}',
        "settings": '{"timezone": {"value": "Asia/Tomsk"}}',
        "systemUrl": "https://other.retailcrm.ru",
    }
    answer = client.post(f"/hooks/retailcrm/{tenant.crm.hook}/{callback}/", form)
    tenant.crm.refresh_from_db()
    assert (answer.status_code, answer.json()["success"]) == (403, False)
    assert (tenant.crm.denied_code, tenant.crm.time_zone) == ("", "Europe/Moscow")
    assert tenant.crm.address == f"https://{CRM_HOST}"
    assert caplog.records[0].name == "connector.security"
    assert stranger.crm.client_id not in caplog.text


def test_settings_without_a_time_zone_change_nothing(client, tenant):
    where = f"/hooks/retailcrm/{tenant.crm.hook}/settings/"
    for settings in ("{}", '{"timezone": null}', '{"timezone": {"value": null}}'):
        answer = client.post(where, {"clientId": tenant.crm.client_id, "settings": settings})
        assert answer.json() == {"success": True}
    tenant.crm.refresh_from_db()
    assert tenant.crm.time_zone == "Europe/Moscow"


def test_new_activation_link_is_sent_to_the_crm(tenant, crm, run_queue):
    assert crm.modules[integration_module.code(tenant)]["accountUrl"] == integration_module.activation_url(tenant)
    type(tenant).objects.update(**columns("activation_token", "another"))
    uis_tasks.sync_all()
    run_queue()
    assert (
        crm.modules[integration_module.code(tenant)]["accountUrl"] == "https://connector.example.com/activate/another/"
    )
    tenant.crm.refresh_from_db()
    assert "another" not in json.dumps(tenant.crm.registered_module)


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense"])
def test_callback_is_answered_in_json_whatever_it_accepts(client, tenant, accept):
    form = {"clientId": tenant.crm.client_id, "activity": json.dumps({"active": True, "freeze": False})}
    url = f"/hooks/retailcrm/{tenant.crm.hook}/activity/"
    answer = client.post(url, form, headers={"Accept": accept})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
