"""“It leaked: revoke now”: the old webhook URLs and the clientId stop at once, and both systems get new ones."""

import itertools
import re
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connector_project.operations import tasks as operations_tasks
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from connector_project.operations.models import Incident
from crm import client_factory, integration_module
from crm import tasks as crm_tasks
from crm.retailcrm import errors
from crm.retailcrm.client import RetailCrmClient
from telephony.uis.webhook_templates import EVENTS
from tenants.models import AuditLogEntry, CrmConnection, Tenant, UisConnection
from tests import html_text, needs, task_queue
from tests.conftest import CONTACT, NUMBER
from tests.flows.templates import send_every_event
from tests.flows.test_module_registration import meanwhile
from tests.users import create_user

pytestmark = [pytest.mark.slow, pytest.mark.sampled(1)]
ENGLISH = {"accept-language": "en"}


@pytest.fixture(autouse=True)
def _stranger_stays_as_it_is(stranger, twin_crm):
    def state():
        rows = [model.objects.filter(tenant=stranger).values().get() for model in (UisConnection, CrmConnection)]
        return rows, twin_crm.modules, Incident.objects.filter(tenant=stranger).count()

    before = repr(state())
    yield
    assert repr(state()) == before


@pytest.fixture
def staff(client, tenant):
    client.force_login(create_user("olga", "Operator"))
    return client


@pytest.fixture
def address(tenant):
    return reverse("admin:tenants_tenant_action", args=[tenant.pk, "revoke_hooks"])


@pytest.fixture
def revoke(staff, address, tenant):
    """Confirm the revocation, as on its page."""

    def run(*, shows=False, **typed):
        version = TENANT_ACTIONS["revoke_hooks"].version(Tenant.objects.get(pk=tenant.pk))
        return staff.post(address, {"version": version} | typed, follow=shows, headers=ENGLISH)

    return run


@pytest.fixture
def notify_at(client, pbx):
    """Send a notification to a hook of UIS; return the HTTP status."""

    def send(hook):
        body = pbx.call(contact=CONTACT, number=NUMBER).notification("lost_call")
        return client.post(f"/hooks/uis/{hook}/", body, content_type="application/json").status_code

    return send


@pytest.fixture
def click_at(client):
    """Click a number in the CRM, with the URL and clientId of a module; return the HTTP status."""

    phones = itertools.count(int(CONTACT))

    def send(module):
        form = {"clientId": module["clientId"], "code": "101", "phone": f"+{next(phones)}", "userId": "27"}
        path = module["integrations"]["telephony"]["makeCallUrl"].removeprefix("https://connector.example.com")
        return client.post(path, form).status_code

    return send


def current(tenant):
    return Tenant.objects.select_related("uis", "crm").get(pk=tenant.pk)


def module_of(crm):
    (module,) = crm.modules.values()
    return module


def is_current(tenant, crm):
    """Return whether the CRM has our present URLs and clientId, and we know that it has."""
    now, module = current(tenant), module_of(crm)
    telephony = module["integrations"]["telephony"]
    urls = [module["baseUrl"], telephony["makeCallUrl"], telephony["changeUserStatusUrl"]]
    has_all = module["clientId"] == now.crm.client_id and all(now.crm.hook in url for url in urls)
    return has_all and module["active"] and now.crm.module_outdated_since is None


def test_page_asks_first_and_says_what_breaks(staff, address, tenant):
    answer = staff.get(address, headers=ENGLISH)
    text = html_text.text(answer)
    assert "no pop-up opens" in text
    assert "clientId" in text
    assert current(tenant).uis.hook == tenant.uis.hook
    assert address in staff.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()


def test_client_without_a_valid_link_needs_a_new_one(revoke, tenant):
    assert "New activation link" not in revoked_message(revoke)
    Tenant.objects.update(activation_expires_at=timezone.now())
    assert "New activation link" in revoked_message(revoke)


def revoked_message(revoke):
    (message,) = revoke(shows=True).context["messages"]
    return str(message)


def test_every_old_address_is_shut_at_once(revoke, notify_at, click_at, tenant, crm, run_queue, client):
    old = module_of(crm)
    assert (notify_at(tenant.uis.hook), click_at(old)) == (200, 200)
    revoke()
    assert (notify_at(tenant.uis.hook), click_at(old)) == (404, 404)
    unknown = client.post("/hooks/uis/nobody/")
    assert client.post(f"/hooks/uis/{tenant.uis.hook}/").content == unknown.content
    assert notify_at(current(tenant).uis.hook) == 200
    run_queue()
    assert is_current(tenant, crm)
    assert (click_at(old), click_at(module_of(crm))) == (404, 200)
    old_client_id = module_of(crm) | {"clientId": old["clientId"]}
    assert click_at(old_client_id) == 403
    assert list(AuditLogEntry.objects.values_list("action", "user__username")) == [("HOOK_REVOKED", "olga")]
    assert tenant.uis.hook not in repr(list(AuditLogEntry.objects.values()))


def test_grace_of_an_earlier_change_ends_too(revoke, staff, notify_at, tenant, run_queue, later):
    html_text.submit(staff, reverse("admin:tenants_tenant_action", args=[tenant.pk, "rotate"]))
    rotated = current(tenant).uis.hook
    assert (notify_at(tenant.uis.hook), notify_at(rotated)) == (200, 200)
    revoke()
    assert (notify_at(tenant.uis.hook), notify_at(rotated)) == (404, 404)
    assert notify_at(current(tenant).uis.hook) == 200


def test_second_person_revokes_nothing_again(revoke, staff, address, tenant, crm, run_queue):
    """Both opened the page before one of them confirmed: the URL that the first one sees stays valid."""
    version = re.search(r'name="version" value="(\w+)"', staff.get(address).content.decode())[1]
    revoke(version=version)
    first = current(tenant)
    assert "Somebody else" in html_text.text(revoke(version=version, shows=True))
    assert current(tenant).uis.hook == first.uis.hook
    run_queue()
    assert is_current(tenant, crm)
    assert AuditLogEntry.objects.filter(action="HOOK_REVOKED").count() == 1
    fresh = re.search(r'name="version" value="(\w+)"', staff.get(address).content.decode())[1]
    revoke(version=fresh)
    assert current(tenant).uis.hook != first.uis.hook


@needs.two_connections
def test_two_people_at_the_same_time_revoke_once(transactional_db, tenant, crm, address, run_queue):
    user, done = create_user("olga", "Operator"), []
    page = Client()
    page.force_login(user)
    version = re.search(r'name="version" value="(\w+)"', page.get(address).content.decode())[1]

    def confirm():
        person = Client()
        person.force_login(user)
        done.append(person.post(address, {"version": version}).status_code)
        connection.close()

    threads = [threading.Thread(target=confirm) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [302] * 3
    assert AuditLogEntry.objects.filter(action="HOOK_REVOKED").count() == 1
    run_queue()
    assert is_current(tenant, crm)


def test_repeat_ends_with_the_newest_secrets_in_the_crm(revoke, tenant, crm, run_queue):
    for _time in range(3):
        revoke()
    run_queue()
    assert is_current(tenant, crm)


@pytest.mark.parametrize(
    "kind", ["503", *(pytest.param(kind, marks=pytest.mark.exhaustive) for kind in ("timeout", "refused"))]
)
def test_crm_that_is_away_is_told_later_and_the_page_says_so(
    revoke, staff, click_at, tenant, crm, crm_world, run_queue, later, kind
):
    crm_world.break_down(kind, path_part="/integration-modules/")
    old = module_of(crm)
    page = html_text.text(revoke(shows=True))
    run_queue()
    assert "The CRM does not have our new URLs yet" in page
    assert (module_of(crm), click_at(old)) == (old, 404)
    later(timedelta(minutes=20))
    operations_tasks.evaluate_alerts()
    reasons = set(Incident.objects.filter(tenant=tenant, kind="REVOKED_URLS").values_list("reason", flat=True))
    assert reasons == {"UIS", "CRM"}
    crm_world.repair()
    later(timedelta(hours=1))
    assert is_current(tenant, crm)
    assert click_at(module_of(crm)) == 200
    page = html_text.text(staff.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH))
    assert "The CRM does not have our new URLs yet" not in page


def test_lost_task_is_found_by_the_sweep(revoke, tenant, crm, later):
    revoke()
    task_queue.lose()
    later(timedelta(minutes=1))
    assert is_current(tenant, crm)


@pytest.mark.parametrize("is_before", [True, False])
def test_registration_that_runs_meanwhile_does_not_leave_the_old_secrets(
    revoke, tenant, crm, run_queue, monkeypatch, is_before
):
    """Its edit has the old secrets, whether it reaches the CRM before or after the revocation."""
    meanwhile(monkeypatch, revoke, is_before=is_before)
    client = RetailCrmClient
    edits, real = [], client.edit_module
    monkeypatch.setattr(client, "edit_module", lambda self, sent: (edits.append(sent.is_active), real(self, sent))[1])
    Tenant.objects.get(pk=tenant.pk).renew_activation_link(now=timezone.now())
    with_old_secrets = current(tenant)
    integration_module.register(with_old_secrets, client_factory.crm_client(with_old_secrets.crm), now=timezone.now())
    run_queue()
    assert is_current(tenant, crm)
    assert edits == [True, True]  # Telephony was never switched off.


def test_crm_that_denies_access_gets_the_secrets_with_the_access(revoke, tenant, crm, run_queue, later):
    tenant.crm.suspend(errors.KEY, "no", now=timezone.now())
    revoke()
    assert run_queue() == 0
    later(timedelta(minutes=1))
    assert not is_current(tenant, crm)
    crm_tasks.probe_all()
    run_queue()
    assert is_current(tenant, crm)


def test_client_sees_what_to_paste_and_the_incident_ends_with_the_first_notification(
    revoke, client, tenant, pbx, run_queue, later, notify_at
):
    send_every_event(client, f"/hooks/uis/{tenant.uis.hook}/", pbx)
    run_queue()
    later(timedelta(seconds=1))
    revoke()
    run_queue()
    operations_tasks.evaluate_alerts()
    incident = Incident.objects.get(kind="REVOKED_URLS")
    assert (incident.tenant, incident.reason, incident.state) == (tenant, "UIS", "OPEN")
    path = reverse("activate", args=[tenant.activation_token])
    page = client.get(path, headers=ENGLISH).content.decode()
    assert page.count("old address: replace it") == len(EVENTS)
    assert "the old ones no longer work" in page
    assert page.count(current(tenant).uis.hook) == len(EVENTS)
    assert tenant.uis.hook not in page
    later(timedelta(minutes=10))
    assert notify_at(current(tenant).uis.hook) == 200
    run_queue()
    operations_tasks.evaluate_alerts()
    later(timedelta(minutes=10))
    operations_tasks.evaluate_alerts()
    incident.refresh_from_db()
    assert incident.state == "RESOLVED"
    assert client.get(path, headers=ENGLISH).content.decode().count("old address: replace it") == len(EVENTS) - 1


def test_support_cannot_revoke(client, tenant, address):
    client.force_login(create_user("sam", "Support"))
    assert client.post(address).status_code == 403
    assert current(tenant).uis.hook == tenant.uis.hook


def test_disconnected_client_has_nothing_to_revoke(revoke, staff, tenant, run_queue):
    staff.post(reverse("admin:tenants_tenant_action", args=[tenant.pk, "disconnect"]), {"slug": tenant.slug})
    before = current(tenant).uis.hook
    assert "The client is disconnected." in html_text.text(revoke(shows=True))
    assert current(tenant).uis.hook == before
