"""A key that a vendor rejects is replaced by the client through a link that asks for this key alone."""

import copy
import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connector_project.core.http_client import ACCOUNT
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.models import Activation, Incident
from connector_project.operations.onboarding import offboarding, reconnect
from crm import tasks as crm_tasks
from telephony import tasks as uis_tasks
from telephony.models import Call
from tenants.models import AuditLogEntry, CrmConnection, ReconnectLink, Tenant, UisConnection
from tests import html_text, task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.users import create_user

pytestmark = pytest.mark.sampled(2)

ENGLISH = {"accept-language": "en"}
NEW_UIS, NEW_CRM = "new-uis-key", "newApiKey0000000000000000000000"
Action = AuditLogEntry.Action


@pytest.fixture
def operator(client, db):
    user = create_user("olga", "Operator")
    client.force_login(user)
    return user


@pytest.fixture
def renew_uis(uis_world, pbx):
    """The client's key expires at UIS; the same account gets another one."""

    def expire(state="expired"):
        uis_world.accounts["uis-token"] = _copy_with(pbx, token_state=state)
        uis_world.accounts[NEW_UIS] = pbx

    return expire


def _copy_with(account, **changed):
    twin = copy.copy(account)
    vars(twin).update(changed)
    return twin


def deny(tenant, *systems):
    """Let our probes find out that the keys are rejected."""
    for name in systems:
        probe = uis_tasks.probe if name == "uis" else crm_tasks.probe
        probe(tenant.pk)
    task_queue.drain()
    return Tenant.objects.select_related("uis", "crm").get(pk=tenant.pk)


@pytest.fixture
def press(client, operator):
    """Press the button on the client's page; return the link's path."""

    def make(tenant):
        url = reverse("admin:tenants_tenant_action", args=[tenant.pk, "reconnect"])
        page = client.post(url, follow=True, headers=ENGLISH).content.decode()
        found = re.search(r'<code class="admin-link">[^<]*?(/reconnect/[^<]+)</code>', page)
        return found[1] if found else None

    return make


@pytest.fixture
def stranger_client():
    """The client's browser, without an account."""
    return Client(headers=ENGLISH)


def fields_of(answer):
    return re.findall(r'<input type="password" name="(\w+)"', answer.content.decode())


def systems_of(answer):
    return re.findall(r'name="system" value="(\w+)"', answer.content.decode())


def test_new_uis_key_starts_what_waited(tenant, pbx, renew_uis, notify, press, stranger_client, crm, twin):
    renew_uis()
    notify(pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)]).notification("call_end"))
    tenant = deny(tenant, "uis")
    assert tenant.uis.denied_code == "access_token_expired"
    operations_tasks.evaluate_alerts()
    link = press(tenant)
    page = stranger_client.get(link)
    assert (page.status_code, fields_of(page), systems_of(page)) == (200, ["key"], ["uis"])
    for secret in (tenant.activation_token, tenant.crm.key, tenant.uis.hook, tenant.crm.address, "uis-token", "Иванов"):
        assert secret not in page.content.decode()
    done = stranger_client.post(link, {"system": "uis", "key": NEW_UIS})
    assert (done.status_code, fields_of(done)) == (200, [])
    task_queue.drain()
    stored = UisConnection.objects.get(tenant=tenant)
    assert (stored.access_token, stored.denials, stored.denied_at) == (NEW_UIS, {}, None)
    assert Call.objects.get().state == Call.State.UPLOADED
    assert len(crm.calls) == 1
    denied = Incident.objects.filter(kind="ACCESS_DENIED").values_list("state", flat=True)
    assert list(denied) == [Incident.State.RESOLVED]
    entries = AuditLogEntry.objects.filter(tenant=tenant).values_list("action", "by_client")
    assert set(entries) >= {(Action.RECONNECT_LINK_CREATED, False), (Action.KEY_SET, True)}
    assert stranger_client.get(link).status_code == 410
    assert stranger_client.post(link, {"system": "uis", "key": "another"}).status_code == 410
    assert UisConnection.objects.get(tenant=tenant).access_token == NEW_UIS
    assert UisConnection.objects.get(tenant=twin).access_token == "other-token"


def test_new_crm_key_starts_what_waited(tenant, pbx, notify, press, stranger_client, crm):
    crm.key = NEW_CRM
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    tenant = deny(tenant, "crm")
    assert tenant.crm.denied_code == "key"
    link = press(tenant)
    assert systems_of(stranger_client.get(link)) == ["crm"]
    assert stranger_client.post(link, {"system": "crm", "key": NEW_CRM}).status_code == 200
    task_queue.drain()
    assert CrmConnection.objects.get().key == NEW_CRM
    assert [call.state for call in Call.objects.all()] == [Call.State.UPLOADED]


def test_renamed_crm_account_is_connected_again_by_its_key(
    tenant, client, pbx, notify, press, stranger_client, crm_world, crm
):
    crm_world.accounts["renamed.retailcrm.ru"] = crm_world.accounts.pop(crm.host)
    crm.host = "renamed.retailcrm.ru"
    activity = {"clientId": tenant.crm.client_id, "activity": '{"active": true}', "systemUrl": f"https://{crm.host}"}
    client.post(f"/hooks/retailcrm/{tenant.crm.hook}/activity/", activity)
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    link = press(Tenant.objects.get(pk=tenant.pk))
    assert systems_of(stranger_client.get(link)) == ["crm"]
    assert stranger_client.post(link, {"system": "crm", "key": crm.key}).status_code == 200
    task_queue.drain()
    assert [call.state for call in Call.objects.all()] == [Call.State.UPLOADED]


@pytest.mark.parametrize("order", [("uis", "crm"), ("crm", "uis")])
def test_both_keys_broken(tenant, renew_uis, press, stranger_client, crm, order):
    renew_uis("blocked")
    crm.key = NEW_CRM
    tenant = deny(tenant, "uis", "crm")
    link, keys = press(tenant), {"uis": NEW_UIS, "crm": NEW_CRM}
    assert systems_of(stranger_client.get(link)) == ["uis", "crm"]
    first, second = order
    page = stranger_client.post(link, {"system": first, "key": keys[first]})
    assert (page.status_code, systems_of(page)) == (200, [second])
    wrong = stranger_client.post(link, {"system": second, "key": "wrong-key"})
    assert (wrong.status_code, systems_of(wrong)) == (422, [second])
    assert stranger_client.post(link, {"system": second, "key": keys[second]}).status_code == 200
    assert stranger_client.get(link).status_code == 410
    assert (UisConnection.objects.get().access_token, CrmConnection.objects.get().key) == (NEW_UIS, NEW_CRM)


@pytest.mark.parametrize("key", ["", " ", "no-such-key", "two words", "ключ", "x" * 301, "uis-token"])
def test_wrong_key_is_said_and_can_be_tried_again(tenant, renew_uis, press, stranger_client, key):
    renew_uis()
    link = press(deny(tenant, "uis"))
    answer = stranger_client.post(link, {"system": "uis", "key": key})
    assert answer.status_code == 422
    assert re.search(r'id="error-uis">[^<]{10,}', answer.content.decode())
    if key.strip():
        assert f'value="{key}"' not in answer.content.decode()
    stored = UisConnection.objects.get()
    assert (stored.access_token, ACCOUNT in stored.denials) == ("uis-token", True)
    assert stranger_client.post(link, {"system": "uis", "key": NEW_UIS}).status_code == 200
    assert UisConnection.objects.get().access_token == NEW_UIS


def test_key_of_another_account_is_refused(tenant, twin, twin_pbx, uis_world, renew_uis, press, stranger_client):
    """Also if no client of ours has that account."""
    renew_uis()
    uis_world.add_account("somebody-elses")
    link = press(deny(tenant, "uis"))
    for key in ("other-token", "somebody-elses"):
        answer = stranger_client.post(link, {"system": "uis", "key": key})
        assert (answer.status_code, "another UIS account" in html_text.text(answer)) == (422, True)
    assert UisConnection.objects.get(tenant=tenant).access_token == "uis-token"
    assert "Чужой" not in answer.content.decode()


def test_account_not_known_yet_is_claimed(tenant, twin, renew_uis, press, stranger_client):
    """A client whose account UIS has not told: the key of another client's account is refused by the claim."""
    renew_uis()
    tenant = deny(tenant, "uis")
    UisConnection.objects.filter(tenant=tenant).update(account_id="", holds_account=False)
    link = press(tenant)
    answer = stranger_client.post(link, {"system": "uis", "key": "other-token"})
    assert answer.status_code == 422
    stored = UisConnection.objects.get(tenant=tenant)
    assert (stored.access_token, stored.account_id) == ("uis-token", "")
    assert stranger_client.post(link, {"system": "uis", "key": NEW_UIS}).status_code == 200
    assert UisConnection.objects.get(tenant=tenant).holds_account


def test_crm_key_of_another_account_or_without_a_scope_is_refused(tenant, twin_crm, crm, press, stranger_client):
    crm.key = NEW_CRM
    link = press(deny(tenant, "crm"))
    assert stranger_client.post(link, {"system": "crm", "key": twin_crm.key}).status_code == 422
    crm.scopes.discard("telephony_write")
    answer = stranger_client.post(link, {"system": "crm", "key": NEW_CRM})
    assert (answer.status_code, "telephony_write" in html_text.text(answer)) == (422, True)
    assert CrmConnection.objects.get().key != NEW_CRM


@pytest.mark.parametrize("kind", ["503", "timeout", "html", "truncated", "wrong_shape"])
def test_vendor_away_keeps_the_link(tenant, renew_uis, uis_world, press, stranger_client, kind):
    renew_uis()
    link = press(deny(tenant, "uis"))
    uis_world.break_down(kind, token=NEW_UIS)
    assert stranger_client.post(link, {"system": "uis", "key": NEW_UIS}).status_code == 422
    uis_world.repair()
    assert stranger_client.post(link, {"system": "uis", "key": NEW_UIS}).status_code == 200


def test_attempts_are_limited(tenant, renew_uis, press, stranger_client, uis_world):
    renew_uis()
    link = press(deny(tenant, "uis"))
    for _attempt in range(20):
        assert stranger_client.post(link, {"system": "uis", "key": "wrong-key"}).status_code == 422
    asked = len(uis_world.requests)
    assert stranger_client.post(link, {"system": "uis", "key": NEW_UIS}).status_code == 429
    assert len(uis_world.requests) == asked
    Activation.objects.update(actions_since=timezone.now() - timedelta(minutes=11))
    assert stranger_client.post(link, {"system": "uis", "key": NEW_UIS}).status_code == 200


def test_only_the_newest_link_works(tenant, renew_uis, press, stranger_client):
    renew_uis()
    tenant = deny(tenant, "uis")
    old, new = press(tenant), press(tenant)
    assert (stranger_client.get(old).status_code, stranger_client.get(new).status_code) == (404, 200)
    assert stranger_client.post(old, {"system": "uis", "key": NEW_UIS}).status_code == 404


def test_expired_link(tenant, renew_uis, press, stranger_client):
    renew_uis()
    link = press(deny(tenant, "uis"))
    ReconnectLink.objects.update(expires_at=timezone.now())
    assert stranger_client.get(link).status_code == 410
    assert stranger_client.post(link, {"system": "uis", "key": NEW_UIS}).status_code == 410
    assert UisConnection.objects.get().access_token == "uis-token"


def test_operator_revokes_it_with_the_activation_link(tenant, renew_uis, press, stranger_client, client):
    renew_uis()
    link = press(deny(tenant, "uis"))
    html_text.submit(client, reverse("admin:tenants_tenant_action", args=[tenant.pk, "revoke_link"]))
    assert stranger_client.get(link).status_code == 404


def test_disconnected_client_has_no_link(tenant, renew_uis, press, stranger_client):
    renew_uis()
    tenant = deny(tenant, "uis")
    link = press(tenant)
    offboarding.offboard(tenant, now=timezone.now())
    assert stranger_client.get(link).status_code == 404
    assert press(tenant) is None


def test_connection_that_works_again_asks_for_nothing(tenant, renew_uis, press, stranger_client):
    """The operator was faster: their key is not replaced."""
    renew_uis()
    link = press(deny(tenant, "uis"))
    Tenant.objects.get().uis.change(access_token=NEW_UIS)
    page = stranger_client.get(link)
    assert (page.status_code, fields_of(page)) == (200, [])
    assert stranger_client.post(link, {"system": "uis", "key": "another"}).status_code == 200
    assert UisConnection.objects.get().access_token == NEW_UIS
    # Rejected again later: that is not what this link was made for.
    Tenant.objects.get().uis.suspend("access_token_expired", "no", now=timezone.now())
    assert fields_of(stranger_client.get(link)) == []


@pytest.mark.parametrize("system", ["crm", "", "UIS", "uis__x", "tenant"])
def test_link_asks_for_nothing_else(tenant, renew_uis, press, stranger_client, system, crm):
    """A link for the UIS key takes no other one, also if that breaks later."""
    renew_uis()
    link = press(deny(tenant, "uis"))
    crm.key = NEW_CRM
    deny(tenant, "crm")
    page = stranger_client.post(link, {"system": system, "key": NEW_CRM})
    assert systems_of(page) == ["uis"]
    assert CrmConnection.objects.get().key != NEW_CRM


@pytest.mark.parametrize("code", ["ip_not_whitelisted", "account_inactive", "account_used", "account", ""])
def test_denial_that_no_key_ends_has_no_button(tenant, press, client, code):
    if code:
        tenant.uis.suspend(code, "no", now=timezone.now())
    page = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]))
    assert reverse("admin:tenants_tenant_action", args=[tenant.pk, "reconnect"]) not in page.content.decode()
    assert press(tenant) is None
    assert not ReconnectLink.objects.exists()


def test_old_key_that_was_unblocked_is_accepted(tenant, pbx, press, stranger_client):
    pbx.token_state = "blocked"
    link = press(deny(tenant, "uis"))
    pbx.token_state = "valid"
    assert stranger_client.post(link, {"system": "uis", "key": "uis-token"}).status_code == 200
    assert UisConnection.objects.get().denied_at is None


def test_incident_has_the_button_for_those_who_may(tenant, renew_uis, client, operator):
    renew_uis()
    deny(tenant, "uis")
    operations_tasks.evaluate_alerts()
    page = reverse("admin:operations_incident_change", args=[Incident.objects.get(kind="ACCESS_DENIED").pk])
    action = reverse("admin:tenants_tenant_action", args=[tenant.pk, "reconnect"])
    assert action in client.get(page).content.decode()
    client.force_login(create_user("petr", "Support"))
    assert action not in client.get(page).content.decode()
    assert client.post(action).status_code == 403
    assert not ReconnectLink.objects.exists()


def test_staff_of_other_clients_make_no_link(tenant, twin, renew_uis, client, operator):
    renew_uis()
    deny(tenant, "uis")
    operator.sees_all_tenants = False
    operator.save()
    operator.visible_tenants.set([twin])
    assert client.post(reverse("admin:tenants_tenant_action", args=[tenant.pk, "reconnect"])).status_code in {403, 404}
    assert not ReconnectLink.objects.exists()


def test_unknown_links_are_not_found(client, db):
    for token in ("x", "0", "a" * 43, "%00", "../admin"):
        assert client.get(f"/reconnect/{token}/").status_code in {400, 404}
        assert client.post(f"/reconnect/{token}/", {"system": "uis", "key": "x"}).status_code in {400, 404}


def test_link_used_twice_at_the_same_time(tenant, renew_uis, press):
    """The second of two requests that were verified at the same time changes nothing."""
    renew_uis()
    tenant = deny(tenant, "uis")
    press(tenant)
    link, now = ReconnectLink.objects.get(), timezone.now()
    reconnect.replace_key(link, tenant, "uis", NEW_UIS, now=now)
    with pytest.raises(reconnect.LinkEnded):
        reconnect.replace_key(link, tenant, "uis", NEW_UIS, now=now)
    assert AuditLogEntry.objects.filter(action=Action.KEY_SET).count() == 1


def test_no_secret_is_in_the_log(tenant, renew_uis, press, stranger_client, capfd):
    renew_uis()
    link = press(deny(tenant, "uis"))
    stranger_client.post(link, {"system": "uis", "key": "wrong-key-typed"})
    stranger_client.post(link, {"system": "uis", "key": NEW_UIS})
    written = json.dumps(capfd.readouterr())
    assert not any(secret in written for secret in (NEW_UIS, "wrong-key-typed", link.split("/")[2]))
