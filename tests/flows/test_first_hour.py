"""The first hour of a client whose UIS account answers nobody yet: each page says what to do, and then it goes on."""

import random
import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from connector_project.core.admin.edit_forms import OPENED
from connector_project.core.http_client import AccessDenied
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation
from connector_project.operations.onboarding.forms import KeysForm
from telephony import checks
from telephony import tasks as uis_tasks
from tenants import onboarding
from tenants.models import Tenant
from tests import html_text, task_queue
from tests.conftest import CRM_HOST
from tests.flows.test_onboarding_page import KEYS
from tests.users import create_user

pytestmark = pytest.mark.one_database

ADDRESSES = ["203.0.113.10", "2001:db8::/64"]
MENU = "Rules and security settings"
ENGLISH = {"accept-language": "en"}
ASK = "Ask the operator for the addresses of our server."


@pytest.fixture
def own_addresses(settings):
    settings.OUTBOUND_ADDRESSES = ADDRESSES


@pytest.fixture
def new_tenant(db, pbx, crm):
    """A new client, at whose UIS no address is allowed."""
    pbx.allowed_addresses = []
    return onboarding.create_tenant(onboarding.NewTenant(name="Василёк"), now=timezone.now())


@pytest.fixture
def visit(client, new_tenant):
    """Open the client's page, or send one of its forms."""

    def request(do="", language="en", **form):
        url, headers = f"/activate/{new_tenant.activation_token}/", {"accept-language": language}
        if do == "keys":
            form = {OPENED: KeysForm(Tenant.objects.get(pk=new_tenant.pk)).opened} | KEYS | form
        if do:
            client.post(url, {"do": do, **form}, headers=headers)
        return client.get(url, headers=headers)

    return request


def boxes(answer):
    """Return the copy boxes of our addresses: what each place on the page shows, each with its button."""
    html = answer.content.decode()
    found = {}
    for place in re.findall(r'data-addresses="(\w+)"', html):
        shown = re.findall(rf'id="(own-{place}-\d+|own-\d+)" (?:type="text" )?readonly value="([^"]+)"', html)
        assert all(f'data-copy="{name}"' in html for name, _value in shown)
        found[place] = [value for _name, value in shown]
    return found


def test_first_step_shows_our_addresses_to_copy_and_where_they_go(visit, own_addresses):
    page = visit()
    assert boxes(page) == {"keys": ADDRESSES}
    assert MENU in html_text.text(page)
    assert "Правила и настройки безопасности" in html_text.text(visit(language="ru"))


def test_without_addresses_the_first_step_says_whom_to_ask(visit):
    page = visit()
    assert boxes(page) == {"keys": []}
    assert ASK in html_text.text(page)
    assert "readonly" not in page.content.decode()


def test_refused_client_is_told_everywhere_and_goes_on_by_itself(visit, new_tenant, pbx, own_addresses, later, client):
    visit("keys")
    task_queue.drain()
    page = visit()
    assert page.context["page"].failure.check.code == "UIS_ADDRESS_LIST"
    assert boxes(page) == {"keys": ADDRESSES, "steps": ADDRESSES}
    assert "within five minutes" in html_text.text(page)
    for address in ADDRESSES:
        assert address in page.context["page"].failure.message
    client.force_login(create_user("olga", "Operator"))
    panel = client.get(reverse("admin:tenants_tenant_change", args=[new_tenant.pk]), headers=ENGLISH)
    assert boxes(panel) == {"panel": ADDRESSES}
    later(timedelta(minutes=5))  # Nothing is allowed yet: it was tried, and is still refused.
    assert Activation.objects.get().state == Activation.State.FAILED
    pbx.allowed_addresses = ["198.51.100.0/24"]
    later(timedelta(minutes=5))
    assert Activation.objects.get().state == Activation.State.FAILED
    pbx.allowed_addresses.append("203.0.113.10")
    later(timedelta(minutes=5))
    assert Tenant.objects.get().is_live
    assert boxes(visit()) == {"keys": ADDRESSES}


def test_retry_button_works_at_once(visit, pbx, own_addresses):
    visit("keys")
    task_queue.drain()
    pbx.allowed_addresses = ["203.0.113.10"]
    visit("activate")
    task_queue.drain()
    assert Tenant.objects.get().is_live


def test_check_alone_says_what_to_allow(visit, new_tenant, own_addresses, client):
    onboarding.create_or_update(
        onboarding.NewTenant(
            name=new_tenant.name, slug=new_tenant.slug, uis_token="uis-token", crm_url=f"https://{CRM_HOST}"
        ),
        now=timezone.now(),
    )
    Tenant.objects.get().crm.change(key=KEYS["key"])
    visit("check")
    task_queue.drain()
    assert boxes(visit()) == {"keys": ADDRESSES, "checks": ADDRESSES}
    client.force_login(create_user("olga", "Operator"))
    panel = client.get(reverse("admin:tenants_tenant_change", args=[new_tenant.pk]), headers=ENGLISH)
    assert boxes(panel) == {"panel": ADDRESSES}


def test_live_client_whose_list_was_narrowed(tenant, pbx, own_addresses, client):
    pbx.allowed_addresses = ["192.0.2.0/24"]
    for _probe in range(2):
        uis_tasks.probe(tenant.pk)
    page = client.get(f"/activate/{tenant.activation_token}/", headers=ENGLISH)
    assert boxes(page) == {"keys": ADDRESSES, "denied": ADDRESSES}
    assert "203.0.113.10" in html_text.text(page)
    client.force_login(create_user("olga", "Operator"))
    panel = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH)
    assert boxes(panel) == {"panel": ADDRESSES}
    pbx.allowed_addresses = ["203.0.113.10/32"]
    uis_tasks.probe_all()
    task_queue.drain()
    assert Tenant.objects.get().uis.denied_at is None


@pytest.mark.parametrize("stop", ["pause", "revoke", "expire", "disconnect"])
def test_operator_ends_the_retries(visit, new_tenant, pbx, later, stop):
    visit("keys")
    task_queue.drain()
    pbx.allowed_addresses = ["0.0.0.0/0"]
    now, row = timezone.now(), Tenant.objects.get(pk=new_tenant.pk)
    if stop == "pause":
        row.pause()
    elif stop == "revoke":
        row.revoke_activation_link(now=now)
    else:
        column = {"expire": "activation_expires_at", "disconnect": "offboarded_at"}[stop]
        Tenant.objects.filter(pk=row.pk).update(**{column: now})
    later(timedelta(minutes=10))
    assert Tenant.objects.get().activated_at is None


def test_another_failure_is_not_retried(visit, pbx, uis_world, later):
    pbx.allowed_addresses = ["0.0.0.0/0"]
    visit("keys", access_token="no-such-key")
    task_queue.drain()
    asked = len(uis_world.requests)
    later(timedelta(hours=1))
    assert len(uis_world.requests) == asked


def test_check_names_what_is_known(tenant, pbx, settings):
    """What the setting lacks is taken from UIS's answer; without both the operator is named."""
    draw = random.Random(20261129)
    for _case in range(20):
        own = [f"198.51.100.{draw.randrange(1, 255)}" for _one in range(draw.randrange(3))]
        settings.OUTBOUND_ADDRESSES = own
        pbx.caller_ip = f"203.0.113.{draw.randrange(1, 255)}"
        pbx.allowed_addresses = ["192.0.2.1"]
        (failed,) = (
            one for one in runner.run(tenant, now=timezone.now()) if one.check.code == "UIS_ADDRESS_LIST" and not one.ok
        )
        assert all(address in failed.message for address in [*own, pbx.caller_ip])
        assert (failed.params["kind"] == "") == bool(own)


def test_check_without_any_address_names_the_operator():
    for text in ("", "not whitelisted", "Your IP is not whitelisted", "1.2.3", "Your IP ? is not whitelisted"):
        result = checks.refused(AccessDenied("UIS", text, code="ip_not_whitelisted"))
        assert result.params["kind"] == "unknown"


def test_command_prints_the_addresses(tenant, pbx, own_addresses, capsys):
    pbx.allowed_addresses = []
    call_command("check_tenant", "--tenant=romashka")
    assert "203.0.113.10, 2001:db8::/64" in capsys.readouterr().out
