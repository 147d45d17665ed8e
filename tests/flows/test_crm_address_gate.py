"""A CRM key is sent to the vendor's hosts only, and only who knows a key names another host for it."""

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
import responses
from django import forms
from django.contrib import admin
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.urls import reverse
from django.utils import timezone

from connector_project.core import http_client
from connector_project.operations.checks import runner
from connector_project.operations.onboarding.forms import KeysForm
from crm import client_factory, tasks
from telephony.uis.client import HOSTS
from tenants import onboarding
from tenants.access_errors import AccessError
from tenants.account_url import is_account_url
from tenants.forms import CrmForm
from tenants.models import CrmConnection, Tenant
from tests import html_text
from tests.conftest import CONTACT, CRM_HOST, IVAN, NUMBER
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

FOREIGN = "https://collector.attacker.example"
MOVED = "https://moved.retailcrm.ru"


@pytest.fixture
def collector(_wire):
    """A foreign host that notes each request."""
    got = []

    def note(request):
        got.append(request)
        return 200, {}, json.dumps({"success": True})

    for method in (responses.GET, responses.POST):
        _wire.add_callback(method, re.compile(rf"{FOREIGN}/.*"), note)
    return got


def by_admin(client, tenant, address, key="", tmp_path=None):
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    form = html_text.fields(client.get(url).content.decode())
    return client.post(url, form | {"crm-0-address": address, "crm-0-key": key}).status_code == 302


def by_client_page(client, tenant, address, key="", tmp_path=None):
    opened = KeysForm(Tenant.objects.get(pk=tenant.pk)).opened
    form = {"do": "keys", "_opened": opened, "brand": "uis", "address": address, "key": key}
    return client.post(f"/activate/{tenant.activation_token}/", form).status_code == 303


def by_command(client, tenant, address, key="", tmp_path=None):
    options = [f"--crm-url={address}", f"--slug={tenant.slug}"]
    if key:
        (tmp_path / "key").write_text(key)
        options.append(f"--crm-key-file={tmp_path / 'key'}")
    try:
        call_command("add_tenant", tenant.name, *options, stdout=StringIO())
    except CommandError:
        return False
    return True


PATHS = [by_admin, by_client_page, by_command]


@pytest.fixture
def store(client, tenant, tmp_path):
    client.force_login(create_user("olga", "Operator"))

    def run(path, address, key=""):
        is_stored = path(client, tenant, address, key, tmp_path)
        row = CrmConnection.objects.get(tenant=tenant)
        return is_stored, row.address, row.key

    return run


@pytest.mark.parametrize("path", PATHS)
def test_foreign_address_is_refused_wherever_it_can_be_entered(store, tenant, path):
    for address in (FOREIGN, f"https://{CRM_HOST}.evil.com", f"http://{CRM_HOST}", f"https://{CRM_HOST}:8443"):
        assert store(path, address, "known") == (False, tenant.crm.address, tenant.crm.key)


@pytest.mark.exhaustive
@pytest.mark.parametrize("path", PATHS)
def test_new_host_deletes_the_key_unless_it_is_entered_too(store, tenant, path):
    same = f"https://{CRM_HOST}"
    assert store(path, same) == (True, same, tenant.crm.key)
    assert store(path, MOVED) == (True, MOVED, "")
    assert store(path, "https://third.retailcrm.ru", "known") == (True, "https://third.retailcrm.ru", "known")


def test_new_client_with_a_foreign_address_is_refused(client, db):
    client.force_login(create_user("olga", "Operator"))
    url = reverse("admin:tenants_tenant_add")
    form = html_text.fields(client.get(url).content.decode()) | {"name": "Новый", "crm-0-key": "k"}
    assert client.post(url, form | {"crm-0-address": FOREIGN}).status_code == 200
    assert not Tenant.objects.exists()


def test_every_place_that_stores_an_address_is_tested_here():
    """A new form or command with an address needs a test above; each row passes the validator of the model."""
    admins = [*admin.site._registry.values()]
    inlines = [inline for one in admins for inline in one.inlines] + [*_inlines(Tenant)]
    stored = {one.form for one in (*admins, *inlines) if one.model is CrmConnection}
    assert stored == {CrmForm}
    assert {form for form in _subclasses(forms.BaseForm) if "address" in getattr(form, "base_fields", {})} <= {
        *_subclasses(CrmForm),
        CrmForm,
        KeysForm,
    }
    ours = {
        name for name, app in get_commands().items() if str(app).startswith(("connector_project", "crm", "tenants"))
    }
    with_url = {name for name in ours if "crm_url" in _options(name)}
    assert with_url == {"add_tenant"}
    assert is_account_url in _called_by(CrmConnection._meta.get_field("address").validators)


def _inlines(model):
    return admin.site._registry[model].get_inlines(None, Tenant())


def _subclasses(kind):
    return {one for child in kind.__subclasses__() for one in (child, *_subclasses(child))}


def _options(name):
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    return {action.dest for action in parser._actions}


def _called_by(validators):
    return {value for one in validators for value in getattr(one, "__globals__", {}).values() if callable(value)}


def test_no_request_leaves_for_an_address_that_is_in_the_row(
    client, tenant, notify, pbx, crm_world, collector, run_queue, later
):
    """However the address got there: no key, number or link leaves, and the pages say why."""
    CrmConnection.objects.update(address=FOREIGN)
    crm_world.requests.clear()
    ringing = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(ringing.notification("waiting", employee_id=IVAN, at=timezone.now()), ringing.notification("lost_call"))
    for task in (tasks.probe, tasks.link_users):
        task(tenant.pk)
    runner.run(Tenant.objects.get(), now=timezone.now())
    later(timedelta(minutes=10))
    assert (collector, crm_world.requests) == ([], [])
    row = CrmConnection.objects.get()
    assert row.denied_code == "address_not_crm"
    client.force_login(create_user("olga", "Operator"))
    page = html_text.text(client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])))
    assert str(AccessError.NOT_CRM.label) in page
    CrmConnection.objects.update(address=tenant.crm.address)
    tasks.probe(tenant.pk)
    assert CrmConnection.objects.get().denied_at is None


@pytest.mark.exhaustive
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_key_does_not_follow_a_redirect(tenant, collector, request, status):
    request.getfixturevalue("_wire").add(
        responses.GET, re.compile(rf"{MOVED}/.*"), status=status, headers={"Location": f"{FOREIGN}/steal"}
    )
    moved = CrmConnection(tenant=Tenant(), address=MOVED, key="secretKey")
    with pytest.raises(http_client.RemoteError):
        client_factory.crm_client(moved).rights()
    assert collector == []


def test_uis_key_goes_to_hosts_of_the_vendor_whatever_brand_is_chosen(tenant, client, uis_world, run_queue):
    """A brand is a choice of the vendor's own hosts, so the key may stay: nobody can name another host."""
    client.force_login(create_user("olga", "Operator"))
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    form = html_text.fields(client.get(url).content.decode())
    assert client.post(url, form | {"uis-0-brand": "evil.example"}).status_code == 200
    allowed = ("uiscom.ru", "comagic.ru", "callgear.com", "novofon.ru")
    assert all(
        re.search(r"^https://[a-z-]+\.([a-z]+\.[a-z]+)/", url)[1] in allowed
        for urls in HOSTS.values()
        for url in urls[:2]
    )


def test_callback_of_a_renamed_account_cannot_take_another_clients_address(tenant, twin, client):
    activity = {"clientId": tenant.crm.client_id, "activity": '{"active": true}', "systemUrl": twin.crm.address}
    client.post(f"/hooks/retailcrm/{tenant.uis.hook}/activity/", activity)
    assert CrmConnection.objects.get(tenant=tenant).address == tenant.crm.address


def test_first_address_of_a_client_keeps_the_key_entered_before(db):
    tenant = onboarding.create_tenant(onboarding.NewTenant(name="a", crm_key="k"), now=timezone.now())
    tenant.crm.change(address=MOVED)
    assert CrmConnection.objects.get().key == "k"


@pytest.mark.parametrize("is_admin", [True, False])
def test_key_typed_for_one_host_is_not_stored_with_another(client, tenant, is_admin):
    """Somebody has named another host since the page was opened: the key must not follow."""
    if is_admin:
        client.force_login(create_user("olga", "Operator"))
    page = f"/activate/{tenant.activation_token}/"
    page, name = (reverse("admin:tenants_tenant_change", args=[tenant.pk]), "crm-0-key") if is_admin else (page, "key")
    CrmConnection.objects.update(key="")  # Nobody has entered one yet.
    form = html_text.fields(client.get(page).content.decode())
    CrmConnection.objects.update(address=MOVED)
    answer = client.post(page, form | {name: "known"} | ({} if is_admin else {"do": "keys"}))
    row = CrmConnection.objects.get(tenant=tenant)
    assert (answer.status_code, row.address, row.key) == (200 if is_admin else 422, MOVED, "")
    again = html_text.fields(answer.content.decode()) | {name: "known"} | ({} if is_admin else {"do": "keys"})
    client.post(page, again)
    row = CrmConnection.objects.get(tenant=tenant)
    assert (row.address, row.key) == (MOVED, "known")  # named in the error, and seen in the form
