"""The actions on a tenant's page, run as an operator runs them, and what both vendors then receive."""

import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import messages
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.html import escape

from connector_project.operations.admin import tenant_action_handlers, tenant_actions
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation
from crm import integration_module
from telephony.models import Call, Notification, RecordingLink
from telephony.recordings import links
from tenants.models import AuditLogEntry, CheckRun, Employee, Tenant
from tests import html_text
from tests.conftest import CONTACT, NUMBER
from tests.users import enlist

ENGLISH = {"accept-language": "en"}
ALL = [name for name, button in tenant_actions.TENANT_ACTIONS.items() if not button.page]


@pytest.fixture
def operator(db):
    return enlist("olga", "Operator")


@pytest.fixture
def desk(client, operator, tenant):
    """Run an action the way the page does; return the message shown afterwards."""
    client.force_login(operator)

    def press(name, *, pk=tenant.pk):
        answer = client.post(_address(name, pk), follow=True, headers=ENGLISH)
        assert answer.status_code == 200
        (message,) = answer.context["messages"]
        return message

    return press


@pytest.fixture
def page(client, operator, tenant):
    """Load the tenant's page."""
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
    """Return the names of the actions a page offers."""
    return set(re.findall(r"/press/(\w+)/", answer.content.decode()))


def is_done(message):
    return message.level == messages.SUCCESS


def is_refused(message):
    return message.level == messages.WARNING


def in_english(text):
    with translation.override("en"):
        return str(text)


def is_checking(answer):
    return 'data-check="running"' in answer.content.decode()


def state_of(answer):
    """Return the state the page shows, in lower case."""
    return re.search(r'class="admin-state desk-(\w+)"', answer.content.decode())[1]


def step_states(answer):
    """Return the state of each activation step on the page."""
    return re.findall(r'class="admin-step-(\w+)"', answer.content.decode())


def written():
    return list(AuditLogEntry.objects.order_by("pk").values_list("action", "user__username"))


def test_check_now_looks_once_and_shows_what_it_found(desk, page, run_queue, tenant):
    assert is_done(desk("check"))
    assert CheckRun.objects.get(tenant=tenant).checked_at is None
    assert is_checking(page())
    assert "check" not in offered(page())
    assert is_refused(desk("check"))
    run_queue()
    assert CheckRun.objects.get(tenant=tenant).checked_at is not None
    answer = page()
    assert "UIS_KEY" in html_text.words(answer)
    assert answer.context["panel"].looked_at
    assert answer.context["panel"].looked_at in html_text.words(answer)
    assert not is_checking(answer)
    assert "check" in offered(answer)
    assert written() == [("CHECKED", "olga")]


def test_failing_check_stands_on_top_with_who_must_act(desk, page, run_queue, tenant):
    Employee.objects.filter(tenant=tenant).update(crm_user_id=None)
    desk("check")
    run_queue()
    answer = page()
    failing = answer.context["panel"].failing
    assert (state_of(answer), bool(failing)) == ("failing", True)
    assert answer.content.decode().count('<li class="admin-bad">') == len(failing)
    for finding in failing:
        assert finding.check.code in html_text.words(answer)
        assert in_english(finding.check.who.label) in html_text.words(answer)


def test_look_that_lost_its_worker_may_be_asked_for_again(desk, page, tenant):
    CheckRun.objects.create(tenant=tenant, requested_at=timezone.now() - timedelta(minutes=3))
    assert "check" in offered(page())
    assert is_done(desk("check"))


def test_activation_goes_step_by_step_in_the_worker(desk, page, run_queue, tenant, crm):
    Tenant.objects.update(activated_at=None)
    assert is_done(desk("activate"))
    assert Tenant.objects.get().activated_at is None
    answer, steps = page(), list(Activation.Step)
    assert step_states(answer) == ["running"] + ["waiting"] * (len(steps) - 1)
    assert all(in_english(step.label) in html_text.words(answer) for step in steps)
    assert is_refused(desk("activate"))
    run_queue()
    assert Tenant.objects.get().activated_at is not None
    assert is_refused(desk("activate"))
    assert [verb for verb, _by in written()] == ["ACTIVATED"]


def test_activation_that_stopped_shows_where_and_why(desk, page, run_queue, tenant, uis_world):
    Tenant.objects.update(activated_at=None)
    tenant.uis.access_token = "unknown"
    tenant.uis.save()
    desk("activate")
    run_queue()
    row, answer = Activation.objects.get(), page()
    assert (state_of(answer), row.code) == ("stopped", "UIS_KEY")
    assert in_english(activation.failure(row).message) in html_text.words(answer)
    assert step_states(answer) == ["failed"] + ["waiting"] * (len(Activation.Step) - 1)
    assert "activate" in offered(answer)


def test_pause_keeps_calls_and_resuming_sends_them_at_once(desk, notify, pbx, crm, run_queue, tenant):
    assert is_done(desk("pause"))
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"))
    assert crm.calls == []
    assert is_refused(desk("pause"))
    assert is_done(desk("resume"))
    run_queue()
    assert len(crm.calls) == 1
    assert is_refused(desk("resume"))
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
    assert is_done(desk("sync"))
    assert not Employee.objects.filter(uis_id=300009).exists()
    run_queue()
    assert Employee.objects.filter(uis_id=300009).exists()


def test_sync_is_refused_where_uis_lets_nobody_in(desk, page, tenant):
    tenant.uis.suspend("access_token_invalid", "no", now=timezone.now())
    assert "sync" not in offered(page())
    assert is_refused(desk("sync"))
    tenant.uis.refresh_from_db()
    tenant.uis.restore()
    assert is_done(desk("sync"))
    tenant.pause()
    assert is_refused(desk("sync"))


def test_new_link_is_shown_once_and_the_old_one_is_dead(desk, page, tenant):
    said = str(desk("link"))
    fresh = Tenant.objects.get()
    assert fresh.activation_token != tenant.activation_token
    assert fresh.activation_expires_at > timezone.now() + timedelta(days=13)
    assert f"https://connector.example.com/activate/{fresh.activation_token}/" in said
    assert fresh.activation_token not in page().content.decode()
    assert fresh.activation_token not in " ".join(AuditLogEntry.objects.values_list("old", flat=True))
    assert fresh.activation_token not in " ".join(AuditLogEntry.objects.values_list("new", flat=True))


def test_revoked_link_is_no_link(desk, page, tenant):
    Tenant.objects.update(one_time_token="from-the-marketplace")
    assert is_done(desk("revoke"))
    fresh = Tenant.objects.get()
    assert fresh.activation_token != tenant.activation_token
    assert fresh.activation_expires_at <= timezone.now()
    assert fresh.one_time_token is None
    assert "revoke" not in offered(page())
    assert is_refused(desk("revoke"))


def test_rotation_hears_the_old_address_for_a_day(desk, client, hook, later, run_queue, tenant, crm, pbx):
    old_module = _addresses(crm)
    assert is_done(desk("rotate"))
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
    assert is_refused(desk("rotate"))
    assert Tenant.objects.get().uis.hook == hook
    assert "rotate" not in offered(page())
    later(timedelta(hours=25))
    assert is_done(desk("rotate"))


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
    assert is_done(desk("leave"))
    assert Tenant.objects.get().offboarded_at is not None
    assert not any(module["active"] for module in crm.modules.values())
    for name in ("leave", "check", "rotate", "resume"):
        assert str(desk(name)) == in_english(tenant_action_handlers.OFFBOARDED)
    assert {"pause", "sync"} & offered(page()) == set()
    assert written() == [("LEFT", "olga")]


def test_client_who_left_gets_no_link(desk, page, tenant):
    desk("leave")
    assert "link" not in offered(page())
    token = Tenant.objects.get().activation_token
    assert str(desk("link")) == in_english(tenant_action_handlers.OFFBOARDED)
    assert Tenant.objects.get().activation_token == token


@pytest.mark.parametrize(
    ("side", "name"), [("uisconnection", "access_token"), ("crmconnection", "address"), ("crmconnection", "key")]
)
def test_activation_without_keys_is_refused(desk, page, run_queue, tenant, side, name):
    Tenant.objects.update(activated_at=None)
    apps.get_model("tenants", side).objects.update(**{name: ""})
    assert "activate" not in offered(page())
    assert str(desk("activate")) == in_english(tenant_action_handlers.NO_KEYS)
    assert run_queue() == 0


def test_each_button_that_asks_says_what_it_does(client, operator, tenant):
    client.force_login(operator)
    for name in ("pause", "link", "revoke", "rotate", "leave"):
        html = client.get(_address(name, tenant.pk), headers=ENGLISH).content.decode()
        text = re.escape(escape(in_english(TENANT_ACTIONS[name].confirm)))
        assert re.search(rf'<button class="button[^"]*" type="submit">{text}</button>', html)
        assert ("button-danger" in html) == (name == "leave")


ASK_THE_SAME_WAY = ("pause", "link", "revoke", "rotate", "withdraw")


@pytest.mark.parametrize(
    "name", ["give", "leave", *[pytest.param(name, marks=pytest.mark.slow) for name in ASK_THE_SAME_WAY]]
)
def test_what_cannot_be_undone_is_asked_about_first(client, operator, tenant, name):
    if name in ("withdraw", "give"):  # offered only where it would change something
        _give_link(tenant)
    if name == "give":
        links.revoke_all(tenant, now=timezone.now())
    client.force_login(operator)
    html = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert f'href="{_address(name, tenant.pk)}"' in html
    asked = client.get(_address(name, tenant.pk), headers=ENGLISH)
    assert asked.status_code == 200
    assert len(asked.context["action"].warnings) > (name != "give")
    for warning in asked.context["action"].warnings:
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
    assert is_done(desk("activate"))
    run_queue()
    assert integration_module.code(tenant) in crm.modules


@pytest.mark.parametrize("name", ["link", "revoke"])
def test_crm_learns_the_new_link_at_once(desk, run_queue, crm, tenant, name):
    desk(name)
    run_queue()
    fresh = Tenant.objects.get(pk=tenant.pk)
    assert fresh.activation_token != tenant.activation_token
    assert crm.modules[integration_module.code(tenant)]["accountUrl"] == integration_module.activation_url(fresh)
