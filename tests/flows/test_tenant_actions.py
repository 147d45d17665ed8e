"""The buttons of a client's page, pressed as an operator presses them, and what both vendors then see."""

import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.urls import reverse
from django.utils import timezone

from crm import integration_module
from telephony.models import Call, Notification, RecordingLink
from telephony.recordings import links
from tenants.models import AuditLogEntry, CheckRun, Employee, Tenant
from tests import html_text
from tests.conftest import CONTACT, NUMBER
from tests.users import enlist

ENGLISH = {"accept-language": "en"}
ALL = ["check", "activate", "resume", "sync", "pause", "link", "revoke", "rotate", "withdraw", "give", "leave"]


@pytest.fixture
def operator(db):
    return enlist("olga", "Operator")


@pytest.fixture
def desk(client, operator, tenant):
    """Press a button the way the page does; return what is said afterwards."""
    client.force_login(operator)

    def press(name, *, pk=tenant.pk):
        answer = client.post(_address(name, pk), follow=True, headers=ENGLISH)
        assert answer.status_code == 200
        return " ".join(str(message) for message in answer.context["messages"])

    return press


@pytest.fixture
def page(client, operator, tenant):
    """Read the client's page."""
    client.force_login(operator)

    def read():
        return client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH)

    return read


def _give_link(tenant):
    now = timezone.now()
    call = Call.objects.create(tenant=tenant, session_id=1, started_at=now, ended_at=now, retry_window_started_at=now)
    RecordingLink.for_call(call, now=now).save()


def _address(name, pk):
    return reverse("admin:tenants_tenant_action", args=[pk, name])


def offered(answer):
    """Return the buttons a page offers."""
    return set(re.findall(r"/press/(\w+)/", answer.content.decode()))


def written():
    return list(AuditLogEntry.objects.order_by("pk").values_list("action", "user__username"))


def test_check_now_looks_once_and_shows_what_it_found(desk, page, run_queue, tenant):
    assert "The check is running" in desk("check")
    assert CheckRun.objects.get(tenant=tenant).checked_at is None
    assert "The check is running" in html_text.words(page())
    assert "check" not in offered(page())
    assert desk("check") == "A check is under way already."
    run_queue()
    assert CheckRun.objects.get(tenant=tenant).checked_at is not None
    said = html_text.words(page())
    assert "UIS_KEY" in said
    assert "Looked at:" in said
    assert "check" in offered(page())
    assert written() == [("CHECKED", "olga")]


def test_failing_check_stands_on_top_with_who_must_act(desk, page, run_queue, tenant):
    Employee.objects.filter(tenant=tenant).update(crm_user_id=None)
    desk("check")
    run_queue()
    said = html_text.words(page())
    assert "active, with faults" in said
    assert "to fix" in said
    assert "Who must act:" in said


def test_look_that_lost_its_worker_may_be_asked_for_again(desk, page, tenant):
    CheckRun.objects.create(tenant=tenant, requested_at=timezone.now() - timedelta(minutes=3))
    assert "check" in offered(page())
    assert "The check is running" in desk("check")


def test_activation_goes_step_by_step_in_the_worker(desk, page, run_queue, tenant, crm):
    Tenant.objects.update(activated_at=None)
    assert "Activation has begun" in desk("activate")
    assert Tenant.objects.get().activated_at is None
    said = html_text.words(page())
    assert "The key of UIS is tried – at work" in said
    assert "The connection is switched on – not begun" in said
    assert desk("activate") == "Activation is under way already."
    run_queue()
    assert Tenant.objects.get().activated_at is not None
    assert desk("activate") == "The client is active already."
    assert [verb for verb, _by in written()] == ["ACTIVATED"]


def test_activation_that_stopped_shows_where_and_why(desk, page, run_queue, tenant, uis_world):
    Tenant.objects.update(activated_at=None)
    tenant.uis.access_token = "unknown"
    tenant.uis.save()
    desk("activate")
    run_queue()
    said = html_text.words(page())
    assert "activation stopped UIS does not know this key." in said
    assert "The key of UIS is tried – stopped here" in said
    assert "activate" in offered(page())


def test_pause_keeps_calls_and_resuming_sends_them_at_once(desk, notify, pbx, crm, run_queue, tenant):
    assert desk("pause") == "The client is paused."
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"))
    assert crm.calls == []
    assert desk("pause") == "The client is not active."
    assert "on its way" in desk("resume")
    run_queue()
    assert len(crm.calls) == 1
    assert desk("resume") == "The client is not paused."
    assert written() == [("PAUSED", "olga"), ("RESUMED", "olga")]


def test_resuming_one_client_wakes_no_other(desk, stranger, tenant, run_queue):
    now = timezone.now()
    Call.objects.create(
        tenant=stranger,
        session_id=1,
        state="READY",
        started_at=now,
        ended_at=now,
        retry_window_started_at=now,
        next_attempt_at=now - timedelta(seconds=1),
    )
    desk("pause")
    desk("resume")
    assert run_queue() == 0
    Call.objects.all().delete()


def test_sync_brings_people_in_the_worker(desk, run_queue, pbx, tenant):
    pbx.add_employee(300009, "Новый Николай", extension="109", email="n@example.com")
    assert "being loaded" in desk("sync")
    assert not Employee.objects.filter(uis_id=300009).exists()
    run_queue()
    assert Employee.objects.filter(uis_id=300009).exists()


def test_sync_is_refused_where_uis_lets_nobody_in(desk, page, tenant):
    tenant.uis.suspend("access_token_invalid", "no", now=timezone.now())
    assert "sync" not in offered(page())
    assert "UIS does not let us in" in desk("sync")
    tenant.uis.restore()
    tenant.pause()
    assert desk("sync") == "The client is not active."


def test_new_link_is_shown_once_and_the_old_one_is_dead(desk, page, tenant):
    said = desk("link")
    fresh = Tenant.objects.get()
    assert fresh.activation_token != tenant.activation_token
    assert fresh.activation_expires_at > timezone.now() + timedelta(days=13)
    assert f"https://connector.example.com/activate/{fresh.activation_token}/" in said
    assert fresh.activation_token not in page().content.decode()
    assert fresh.activation_token not in " ".join(AuditLogEntry.objects.values_list("old", flat=True))
    assert fresh.activation_token not in " ".join(AuditLogEntry.objects.values_list("new", flat=True))


def test_revoked_link_is_no_link(desk, page, tenant):
    Tenant.objects.update(one_time_token="from-the-marketplace")
    assert desk("revoke") == "The activation link is no longer valid."
    fresh = Tenant.objects.get()
    assert fresh.activation_token != tenant.activation_token
    assert fresh.activation_expires_at <= timezone.now()
    assert fresh.one_time_token is None
    assert "revoke" not in offered(page())
    assert desk("revoke") == "There is no valid activation link."


def test_rotation_hears_the_old_address_for_a_day(desk, client, hook, later, run_queue, tenant, crm, pbx):
    old_module = _addresses(crm)
    assert "within 24 hours" in desk("rotate")
    run_queue()
    new = Tenant.objects.get().uis.hook
    assert new != tenant.uis.hook
    assert _addresses(crm) == {address.replace(tenant.uis.hook, new) for address in old_module}

    def knock(address, number):
        body = pbx.call(contact=f"7999000000{number}", number=NUMBER).notification("lost_call")
        return client.post(address, body, content_type="application/json").status_code

    assert (knock(hook, 1), knock(f"/hooks/uis/{new}/", 2)) == (200, 200)
    later(timedelta(hours=23))
    assert knock(hook, 3) == 200
    later(timedelta(hours=2))
    assert (knock(hook, 4), knock(f"/hooks/uis/{new}/", 5)) == (404, 200)
    assert Notification.objects.filter(tenant=tenant).count() == 4


def test_clicks_reach_us_by_both_addresses_for_a_day(desk, client, later, run_queue, tenant, pbx):
    desk("rotate")
    new = Tenant.objects.get().uis.hook
    later(timedelta(hours=23))
    asked = {"clientId": tenant.crm.client_id, "code": "102", "userId": "28", "phone": f"+{CONTACT}"}
    statuses = [
        client.post(f"/hooks/retailcrm/{part}/make-call/", asked | {"phone": f"+7999000010{number}"}).status_code
        for number, part in enumerate((tenant.uis.hook, new))
    ]
    assert statuses == [200, 200]
    later(timedelta(hours=2))
    assert client.post(f"/hooks/retailcrm/{tenant.uis.hook}/make-call/", asked).status_code == 404


def test_second_rotation_would_cut_the_client_off_and_is_refused(desk, page, later, run_queue, tenant):
    desk("rotate")
    hook = Tenant.objects.get().uis.hook
    assert "less than 24 hours ago" in desk("rotate")
    assert Tenant.objects.get().uis.hook == hook
    assert "rotate" not in offered(page())
    later(timedelta(hours=25))
    assert "within 24 hours" in desk("rotate")


def test_crm_that_was_away_learns_the_new_address_with_the_next_sync(desk, run_queue, tenant, crm, crm_world):
    from telephony import tasks

    crm_world.break_down("503", path_part="/integration-modules/")
    desk("rotate")
    run_queue()
    crm_world.repair()
    tasks.sync_all()
    run_queue()
    assert all(Tenant.objects.get().uis.hook in address for address in _addresses(crm))


def test_extensions_typed_by_people_survive_a_rotation(desk, run_queue, tenant, crm):
    block = _telephony(crm)
    block["additionalCodes"].append({"userId": "29", "code": "777"})
    crm.add_user(29, first_name="Без", last_name="Сотрудника", email="x@example.com")
    desk("rotate")
    run_queue()
    assert {"userId": "29", "code": "777"} in [
        {name: str(value) for name, value in pair.items()} for pair in _telephony(crm)["additionalCodes"]
    ]


def test_client_who_is_not_on_gets_no_module_by_a_rotation(desk, run_queue, tenant, crm):
    Tenant.objects.update(activated_at=None)
    before = _addresses(crm)
    desk("rotate")
    assert run_queue() == 0
    assert _addresses(crm) == before


def test_leaving_is_said_and_done_once(desk, page, tenant, crm):
    said = desk("leave")
    assert said.startswith("The client has left. Work has stopped.")
    assert "Our module is switched off in the CRM." in said
    assert Tenant.objects.get().offboarded_at is not None
    assert not any(module["active"] for module in crm.modules.values())
    for name in ("leave", "check", "rotate", "resume"):
        assert desk(name) == "The client has left."
    assert {"pause", "sync"} & offered(page()) == set()
    assert written() == [("LEFT", "olga")]


def test_client_who_left_gets_no_link(desk, page, tenant):
    desk("leave")
    assert "link" not in offered(page())
    token = Tenant.objects.get().activation_token
    assert desk("link") == "The client has left."
    assert Tenant.objects.get().activation_token == token


@pytest.mark.parametrize(
    ("side", "name"), [("uisconnection", "access_token"), ("crmconnection", "address"), ("crmconnection", "key")]
)
def test_activation_without_keys_is_refused(desk, page, run_queue, tenant, side, name):
    Tenant.objects.update(activated_at=None)
    apps.get_model("tenants", side).objects.update(**{name: ""})
    assert "activate" not in offered(page())
    assert desk("activate") == "The keys are missing. Enter them below, or send the client the link."
    assert run_queue() == 0


def test_each_button_that_asks_says_what_it_does(client, operator, tenant):
    client.force_login(operator)
    says = {
        "pause": "Pause",
        "link": "Create a new link",
        "revoke": "Revoke the link",
        "rotate": "Change the address",
        "leave": "Yes, switch the client off",
    }
    for name, text in says.items():
        html = client.get(_address(name, tenant.pk), headers=ENGLISH).content.decode()
        assert re.search(rf'<button class="button[^"]*" type="submit">{text}</button>', html)
        assert ("button-danger" in html) == (name == "leave")


@pytest.mark.parametrize("name", ["pause", "link", "revoke", "rotate", "withdraw", "give", "leave"])
def test_what_cannot_be_undone_is_asked_about_first(client, operator, tenant, name):
    if name in ("withdraw", "give"):  # offered only to whom it would change something
        _give_link(tenant)
    if name == "give":
        links.revoke_all(tenant, now=timezone.now())
    client.force_login(operator)
    html = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert f'href="{_address(name, tenant.pk)}"' in html
    asked = client.get(_address(name, tenant.pk), headers=ENGLISH)
    assert asked.status_code == 200
    assert len(asked.context["button"].warnings) > (name != "give")
    for warning in asked.context["button"].warnings:
        assert str(warning) in html_text.words(asked)


@pytest.mark.parametrize("name", ALL)
def test_look_at_a_button_does_nothing(client, operator, run_queue, tenant, name):
    client.force_login(operator)
    before = Tenant.objects.values().get(), Tenant.objects.get().uis.hook
    client.get(_address(name, tenant.pk))
    assert (Tenant.objects.values().get(), Tenant.objects.get().uis.hook) == before
    assert run_queue() == 0
    assert written() == []


@pytest.mark.parametrize("name", ALL)
def test_nobody_else_may_press(client, run_queue, tenant, name):
    support = enlist("sveta", "Support")
    before = Tenant.objects.values().get(), Tenant.objects.get().uis.hook
    assert client.post(_address(name, tenant.pk)).status_code == 302  # to the login
    client.force_login(support)
    assert client.post(_address(name, tenant.pk)).status_code == 403
    assert client.get(_address(name, tenant.pk)).status_code == 403
    assert (Tenant.objects.values().get(), Tenant.objects.get().uis.hook) == before
    assert run_queue() == 0
    assert written() == []


def test_press_without_the_pages_token_is_refused(operator, tenant):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    assert strict.post(_address("pause", tenant.pk)).status_code == 403
    assert Tenant.objects.get().is_paused is False


def test_unknown_button_and_unknown_client_are_not_found(client, operator, tenant):
    client.force_login(operator)
    assert client.post(_address("explode", tenant.pk)).status_code == 404
    assert client.post(_address("pause", tenant.pk + 99)).status_code == 404


def _telephony(crm):
    (module,) = crm.modules.values()
    return module["integrations"]["telephony"]


def _addresses(crm):
    (module,) = crm.modules.values()
    block = _telephony(crm)
    return {module["baseUrl"], block["makeCallUrl"], block["changeUserStatusUrl"]}


def test_module_found_gone_can_be_registered_again(desk, page, run_queue, crm, tenant):
    crm.modules.clear()
    desk("check")
    run_queue()
    assert "activate" in offered(page())
    assert "Activation has begun" in desk("activate")
    run_queue()
    assert integration_module.code(tenant) in crm.modules


@pytest.mark.parametrize("name", ["link", "revoke"])
def test_crm_learns_the_new_link_at_once(desk, run_queue, crm, tenant, name):
    desk(name)
    run_queue()
    fresh = Tenant.objects.get(pk=tenant.pk)
    assert fresh.activation_token != tenant.activation_token
    assert crm.modules[integration_module.code(tenant)]["accountUrl"] == integration_module.activation_url(fresh)
