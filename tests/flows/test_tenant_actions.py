"""The actions on a tenant's page, run as an operator does, and the requests both vendors then receive."""

import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import messages
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.html import escape

from connector_project.core.secret_tokens import digest
from connector_project.operations.admin import tenant_actions
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation
from crm import integration_module
from telephony.models import Call, Notification, RecordingLink
from telephony.recordings import links
from tenants.models import AuditLogEntry, CheckRun, Employee, Tenant
from tests import html_text
from tests.conftest import CONTACT, NUMBER
from tests.users import create_user

pytestmark = pytest.mark.one_database

ENGLISH = {"accept-language": "en"}
ALL = [name for name, action in tenant_actions.TENANT_ACTIONS.items() if not action.page]


@pytest.fixture
def operator(db):
    return create_user("olga", "Operator")


@pytest.fixture
def run_action(client, operator, tenant):
    """Run an action as the page does; return the message shown afterwards."""
    client.force_login(operator)

    def run(name, *, pk=tenant.pk):
        version = TENANT_ACTIONS[name].version(Tenant.objects.get(pk=pk))
        typed = {"slug": tenant.slug, "version": version}
        answer = client.post(_address(name, pk), typed, follow=True, headers=ENGLISH)
        assert answer.status_code == 200
        (message,) = answer.context["messages"]
        return message

    return run


@pytest.fixture
def page(client, operator, tenant):
    """Load the tenant's page."""
    client.force_login(operator)

    def read():
        return client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH)

    return read


def _create_recording_link(tenant):
    now = timezone.now()
    call = Call.objects.create(tenant=tenant, session_id=1, started_at=now, ended_at=now, retry_window_started_at=now)
    RecordingLink.for_call(call, now=now).save()


def _address(name, pk):
    return reverse("admin:tenants_tenant_action", args=[pk, name])


def _crm_hook():
    return Tenant.objects.get().crm.hook


def available_actions(answer):
    """Return the names of the actions a page offers."""
    return set(re.findall(r"/action/(\w+)/", answer.content.decode()))


def is_done(message):
    return message.level == messages.SUCCESS


def is_error(message):
    return message.level == messages.WARNING


def in_english(text):
    with translation.override("en"):
        return str(text)


def is_checking(answer):
    return 'data-check="running"' in answer.content.decode()


def state_of(answer):
    """Return the state the page shows, in lower case."""
    return re.search(r'class="admin-state admin-(\w+)"', answer.content.decode())[1]


def step_states(answer):
    """Return the state of each activation step on the page."""
    return re.findall(r'class="admin-step-(\w+)"', answer.content.decode())


def audit_entries():
    return list(AuditLogEntry.objects.order_by("pk").values_list("action", "user__username"))


@pytest.mark.slow
def test_check_runs_once_and_shows_its_results(run_action, page, run_queue, tenant):
    assert is_done(run_action("check"))
    assert CheckRun.objects.get(tenant=tenant).checked_at is None
    assert is_checking(page())
    assert "check" not in available_actions(page())
    assert is_error(run_action("check"))
    run_queue()
    assert CheckRun.objects.get(tenant=tenant).checked_at is not None
    answer = page()
    assert "UIS_KEY" in html_text.text(answer)
    assert answer.context["panel"]["checked_at"]
    assert answer.context["panel"]["checked_at"] in html_text.text(answer)
    assert not is_checking(answer)
    assert "check" in available_actions(answer)
    assert audit_entries() == [("CHECKED", "olga")]


@pytest.mark.slow
def test_failed_check_is_listed_first_with_the_responsible_party(run_action, page, run_queue, tenant):
    Employee.objects.filter(tenant=tenant).update(crm_user_id=None)
    run_action("check")
    run_queue()
    answer = page()
    failed = answer.context["panel"]["failed"]
    assert (state_of(answer), bool(failed)) == ("failing", True)
    assert answer.content.decode().count('<li class="admin-bad">') == len(failed)
    for result in failed:
        assert result.check.code in html_text.text(answer)
        assert in_english(result.check.responsible.label) in html_text.text(answer)


@pytest.mark.slow
def test_check_of_a_dead_worker_can_be_started_again(run_action, page, tenant):
    CheckRun.objects.create(tenant=tenant, requested_at=timezone.now() - timedelta(minutes=3))
    assert "check" in available_actions(page())
    assert is_done(run_action("check"))


@pytest.mark.slow
def test_activation_runs_step_by_step_in_the_worker(run_action, page, run_queue, tenant, crm):
    Tenant.objects.update(activated_at=None)
    assert is_done(run_action("activate"))
    assert Tenant.objects.get().activated_at is None
    answer, steps = page(), list(Activation.Step)
    assert step_states(answer) == ["running"] + ["waiting"] * (len(steps) - 1)
    assert all(in_english(step.label) in html_text.text(answer) for step in steps)
    assert is_error(run_action("activate"))
    run_queue()
    assert Tenant.objects.get().activated_at is not None
    assert is_error(run_action("activate"))
    assert [action for action, _user in audit_entries()] == ["ACTIVATED"]


@pytest.mark.slow
def test_failed_activation_shows_the_step_and_the_reason(run_action, page, run_queue, tenant, uis_world):
    Tenant.objects.update(activated_at=None)
    tenant.uis.access_token = "unknown"
    tenant.uis.save()
    run_action("activate")
    run_queue()
    row, answer = Activation.objects.get(), page()
    assert (state_of(answer), row.code) == ("activation_failed", "UIS_KEY")
    assert in_english(activation.failure(row).message) in html_text.text(answer)
    assert step_states(answer) == ["failed"] + ["waiting"] * (len(Activation.Step) - 1)
    assert "activate" in available_actions(answer)


@pytest.mark.slow
def test_pause_keeps_calls_and_resume_uploads_them(run_action, notify, pbx, crm, run_queue, tenant):
    assert is_done(run_action("pause"))
    notify(pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call"))
    assert crm.calls == []
    assert is_error(run_action("pause"))
    assert is_done(run_action("resume"))
    run_queue()
    assert len(crm.calls) == 1
    assert is_error(run_action("resume"))
    assert audit_entries() == [("PAUSED", "olga"), ("RESUMED", "olga")]


@pytest.mark.slow
def test_resume_enqueues_no_other_tenant(run_action, stranger, tenant, run_queue):
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
    run_action("pause")
    run_action("resume")
    assert run_queue() == 0
    Call.objects.all().delete()


@pytest.mark.slow
def test_sync_imports_employees_in_the_worker(run_action, run_queue, pbx, tenant):
    pbx.add_employee(300009, "Новый Николай", extension="109", email="n@example.com")
    assert is_done(run_action("sync"))
    assert not Employee.objects.filter(uis_id=300009).exists()
    run_queue()
    assert Employee.objects.filter(uis_id=300009).exists()


@pytest.mark.slow
def test_sync_is_rejected_while_access_to_uis_is_denied(run_action, page, tenant):
    tenant.uis.suspend("access_token_invalid", "no", now=timezone.now())
    assert "sync" not in available_actions(page())
    assert is_error(run_action("sync"))
    tenant.uis.refresh_from_db()
    tenant.uis.restore()
    assert is_done(run_action("sync"))
    tenant.pause()
    assert is_error(run_action("sync"))


@pytest.mark.slow
def test_renewed_link_is_shown_once_and_replaces_the_old_one(run_action, page, tenant):
    message = str(run_action("renew_link"))
    fresh = Tenant.objects.get()
    assert fresh.activation_token != tenant.activation_token
    assert fresh.activation_expires_at > timezone.now() + timedelta(days=13)
    assert f"https://connector.example.com/activate/{fresh.activation_token}/" in message
    assert fresh.activation_token not in page().content.decode()
    assert fresh.activation_token not in " ".join(AuditLogEntry.objects.values_list("old", flat=True))
    assert fresh.activation_token not in " ".join(AuditLogEntry.objects.values_list("new", flat=True))


@pytest.mark.slow
def test_revoked_link_is_invalid(run_action, page, tenant):
    Tenant.objects.update(one_time_token_digest=digest("from-the-marketplace"))
    assert is_done(run_action("revoke_link"))
    fresh = Tenant.objects.get()
    assert fresh.activation_token != tenant.activation_token
    assert fresh.activation_expires_at <= timezone.now()
    assert fresh.one_time_token_digest is None
    assert "revoke_link" not in available_actions(page())
    assert is_error(run_action("revoke_link"))


@pytest.mark.slow
def test_expired_link_can_be_revoked_so_that_the_crm_does_not_renew_it(run_action, client, tenant):
    Tenant.objects.update(activation_expires_at=timezone.now())
    assert is_done(run_action("revoke_link"))
    fresh = Tenant.objects.get()
    form = {"clientId": tenant.crm.client_id}
    assert client.post(f"/activate/{fresh.activation_token}/", form).status_code == 410
    assert client.post(f"/activate/{tenant.activation_token}/", form).status_code == 404


@pytest.mark.slow
def test_rotation_accepts_the_old_url_for_a_day(run_action, client, hook, later, run_queue, tenant, crm, pbx):
    old_module = _addresses(crm)
    assert is_done(run_action("rotate"))
    run_queue()
    new = Tenant.objects.get().uis.hook
    assert new != tenant.uis.hook
    assert _addresses(crm) == {address.replace(tenant.crm.hook, _crm_hook()) for address in old_module}
    assert tenant.crm.hook not in "".join(_addresses(crm))

    def send(address, number):
        body = pbx.call(contact=f"7999000000{number}", number=NUMBER).notification("lost_call")
        return client.post(address, body, content_type="application/json").status_code

    assert (send(hook, 1), send(f"/hooks/uis/{new}/", 2)) == (200, 200)
    later(timedelta(hours=23))
    assert send(hook, 3) == 200
    later(timedelta(hours=2))
    assert (send(hook, 4), send(f"/hooks/uis/{new}/", 5)) == (404, 200)
    assert Notification.objects.filter(tenant=tenant).count() == 4


@pytest.mark.slow
def test_clicks_are_accepted_at_the_new_url_only(run_action, client, run_queue, tenant, pbx):
    """The CRM learns its new URL by itself, so the old one needs no time."""
    run_action("rotate")
    click = {"clientId": tenant.crm.client_id, "code": "102", "userId": "28", "phone": f"+{CONTACT}"}
    statuses = [
        client.post(f"/hooks/retailcrm/{part}/make-call/", click).status_code for part in (tenant.crm.hook, _crm_hook())
    ]
    assert statuses == [404, 200]


@pytest.mark.slow
def test_second_rotation_within_a_day_is_rejected(run_action, page, later, run_queue, tenant):
    run_action("rotate")
    hook = Tenant.objects.get().uis.hook
    assert is_error(run_action("rotate"))
    assert Tenant.objects.get().uis.hook == hook
    assert "rotate" not in available_actions(page())
    later(timedelta(hours=25))
    assert is_done(run_action("rotate"))


@pytest.mark.slow
def test_unavailable_crm_gets_the_new_url_with_the_next_sync(run_action, run_queue, tenant, crm, crm_world):
    from telephony import tasks

    crm_world.break_down("503", path_part="/integration-modules/")
    run_action("rotate")
    run_queue()
    crm_world.repair()
    tasks.sync_all()
    run_queue()
    assert all(_crm_hook() in address for address in _addresses(crm))


@pytest.mark.slow
def test_rotation_keeps_manual_extensions(run_action, run_queue, tenant, crm):
    block = _telephony(crm)
    block["additionalCodes"].append({"userId": "29", "code": "777"})
    crm.add_user(29, first_name="Без", last_name="Сотрудника", email="x@example.com")
    run_action("rotate")
    run_queue()
    assert {"userId": "29", "code": "777"} in [
        {name: str(value) for name, value in pair.items()} for pair in _telephony(crm)["additionalCodes"]
    ]


@pytest.mark.slow
def test_rotation_of_an_inactive_tenant_registers_no_module(run_action, run_queue, tenant, crm):
    Tenant.objects.update(activated_at=None)
    before = _addresses(crm)
    run_action("rotate")
    assert run_queue() == 0
    assert _addresses(crm) == before


@pytest.mark.slow
def test_disconnect_runs_once_and_is_logged(run_action, page, tenant, crm):
    assert is_done(run_action("disconnect"))
    assert Tenant.objects.get().offboarded_at is not None
    assert not any(module["active"] for module in crm.modules.values())
    for name in ("disconnect", "check", "rotate", "resume"):
        assert str(run_action(name)) == in_english(tenant_actions.OFFBOARDED)
    assert {"pause", "sync"} & available_actions(page()) == set()
    assert audit_entries() == [("OFFBOARDED", "olga")]


@pytest.mark.slow
def test_disconnected_tenant_gets_no_link(run_action, page, tenant):
    run_action("disconnect")
    assert "renew_link" not in available_actions(page())
    token = Tenant.objects.get().activation_token
    assert str(run_action("renew_link")) == in_english(tenant_actions.OFFBOARDED)
    assert Tenant.objects.get().activation_token == token


@pytest.mark.slow
@pytest.mark.parametrize(
    ("connection", "name"), [("uisconnection", "access_token"), ("crmconnection", "address"), ("crmconnection", "key")]
)
def test_activation_without_keys_is_rejected(run_action, page, run_queue, tenant, connection, name):
    Tenant.objects.update(activated_at=None)
    apps.get_model("tenants", connection).objects.update(**{name: ""})
    assert "activate" not in available_actions(page())
    assert str(run_action("activate")) == in_english(tenant_actions.NO_KEYS)
    assert run_queue() == 0


def test_confirm_button_is_labelled_with_the_action(client, operator, tenant):
    client.force_login(operator)
    for name in ("pause", "renew_link", "revoke_link", "rotate", "disconnect"):
        html = client.get(_address(name, tenant.pk), headers=ENGLISH).content.decode()
        text = re.escape(escape(in_english(TENANT_ACTIONS[name].confirm or TENANT_ACTIONS[name].label)))
        assert re.search(rf'<button class="button[^"]*" type="submit">{text}</button>', html)
        assert ("button-danger" in html) == (name == "disconnect")


CONFIRMED_ALIKE = ("pause", "renew_link", "revoke_link", "rotate", "revoke_recording_links")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "restore_recording_links",
        "disconnect",
        *[pytest.param(name, marks=pytest.mark.exhaustive) for name in CONFIRMED_ALIKE],
    ],
)
def test_irreversible_action_is_confirmed_first(client, operator, tenant, name):
    if name in ("revoke_recording_links", "restore_recording_links"):  # available only if it would change something
        _create_recording_link(tenant)
    if name == "restore_recording_links":
        links.revoke_all(tenant, now=timezone.now())
    client.force_login(operator)
    html = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert f'href="{_address(name, tenant.pk)}"' in html
    answer = client.get(_address(name, tenant.pk), headers=ENGLISH)
    assert answer.status_code == 200
    assert len(answer.context["action"].warnings) > (name != "restore_recording_links")
    for warning in answer.context["action"].warnings:
        assert str(warning) in html_text.text(answer)


@pytest.mark.parametrize("name", ALL)
def test_get_request_changes_nothing(client, operator, run_queue, tenant, name):
    client.force_login(operator)
    before = Tenant.objects.values().get(), Tenant.objects.get().uis.hook
    client.get(_address(name, tenant.pk))
    assert (Tenant.objects.values().get(), Tenant.objects.get().uis.hook) == before
    assert run_queue() == 0
    assert audit_entries() == []


@pytest.mark.parametrize("name", ALL)
def test_support_and_anonymous_users_are_rejected(client, run_queue, tenant, name):
    support = create_user("sveta", "Support")
    before = Tenant.objects.values().get(), Tenant.objects.get().uis.hook
    assert client.post(_address(name, tenant.pk)).status_code == 302  # redirect to the login
    client.force_login(support)
    assert client.post(_address(name, tenant.pk)).status_code == 403
    assert client.get(_address(name, tenant.pk)).status_code == 403
    assert (Tenant.objects.values().get(), Tenant.objects.get().uis.hook) == before
    assert run_queue() == 0
    assert audit_entries() == []


def test_request_without_csrf_token_is_rejected(operator, tenant):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    assert strict.post(_address("pause", tenant.pk)).status_code == 403
    assert Tenant.objects.get().is_paused is False


def test_unknown_action_and_unknown_tenant_are_not_found(client, operator, tenant):
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


@pytest.mark.slow
def test_deleted_module_can_be_registered_again(run_action, page, run_queue, crm, tenant):
    crm.modules.clear()
    run_action("check")
    run_queue()
    assert "activate" in available_actions(page())
    assert is_done(run_action("activate"))
    run_queue()
    assert integration_module.code(tenant) in crm.modules


@pytest.mark.slow
@pytest.mark.parametrize("name", ["renew_link", "revoke_link"])
def test_crm_gets_the_new_link_at_once(run_action, run_queue, crm, tenant, name):
    run_action(name)
    run_queue()
    fresh = Tenant.objects.get(pk=tenant.pk)
    assert fresh.activation_token != tenant.activation_token
    assert crm.modules[integration_module.code(tenant)]["accountUrl"] == integration_module.activation_url(fresh)
