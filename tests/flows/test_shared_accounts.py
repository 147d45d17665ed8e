"""One account serves one client, on every path and under concurrency."""

import threading

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from connector_project.core.check_results import CheckFailed
from connector_project.operations.checks import runner
from connector_project.operations.onboarding import offboarding, steps
from connector_project.operations.onboarding.forms import KeysForm
from telephony import tasks
from tenants import onboarding
from tenants.models import CrmConnection, Tenant, UisConnection, User
from tests import html_text, needs
from tests.conftest import CRM_HOST
from tests.flows.test_crm_address_gate import PATHS, by_admin, by_client_page, by_command
from tests.users import create_user

pytestmark = pytest.mark.sampled(1)

ENGLISH = {"accept-language": "en"}
OTHER_KEY = "second-key-of-the-same-account"


@pytest.fixture
def second(db):
    """A second client that somebody has added for the same shop."""
    return onboarding.create_tenant(onboarding.NewTenant(name="Опять Ромашка", slug="again"), now=timezone.now())


@pytest.fixture
def same_uis(uis_world, pbx):
    """Another key of the same UIS account."""
    uis_world.accounts[OTHER_KEY] = pbx
    return OTHER_KEY


def give_keys(tenant, uis_key, address, crm_key):
    UisConnection.objects.filter(tenant=tenant).update(access_token=uis_key)
    CrmConnection.objects.filter(tenant=tenant).update(address=address, key=crm_key)
    return Tenant.objects.get(pk=tenant.pk)


@pytest.mark.parametrize("path", [by_admin, by_client_page, by_command])
def test_crm_account_of_another_client_is_refused(client, operator, tenant, second, tmp_path, path):
    for address in (f"https://{CRM_HOST}", f"https://{CRM_HOST.upper()}/"):
        assert not path(client, second, address, "k", tmp_path)
    assert CrmConnection.objects.get(tenant=second).address == ""


@pytest.mark.parametrize("path", [by_admin, by_client_page, by_command])
@pytest.mark.parametrize("ending", ["", "/", "//"])
def test_spelling_of_the_stored_address_does_not_matter(client, operator, tenant, second, tmp_path, path, ending):
    address = "https://moved.retailcrm.ru"
    assert path(client, tenant, f"{address.upper().replace('HTTPS', 'https')}{ending}", "k", tmp_path)
    assert CrmConnection.objects.get(tenant=tenant).address == address
    for refused in PATHS:
        assert not refused(client, second, address, "k", tmp_path)
        assert not refused(client, second, f"{address}//", "k", tmp_path)


def test_staff_get_a_link_and_the_client_no_name(client, operator, tenant, second):
    url = reverse("admin:tenants_tenant_change", args=[second.pk])
    form = html_text.fields(client.get(url).content.decode())
    typed = {"crm-0-address": f"https://{CRM_HOST}", "uis-0-access_token": tenant.uis.access_token}
    errors = html_text.errors(client.post(url, form | typed))
    link = f'<a href="{reverse("admin:tenants_tenant_change", args=[tenant.pk])}">{tenant.name}</a>'
    assert sum(link in error for error in errors) == 2
    typed = {"do": "keys", "brand": "uis", "address": f"https://{CRM_HOST}", "access_token": tenant.uis.access_token}
    typed["_opened"] = KeysForm(second).opened
    answer = client.post(f"/activate/{second.activation_token}/", typed, headers=ENGLISH)
    assert answer.status_code == 422
    text = html_text.text(answer)
    assert text.count("Another client already uses this") == 2
    assert tenant.name not in text.replace(second.name, "")


def test_staff_who_may_not_see_the_other_client_get_no_name(client, tenant, second, same_uis):
    user = create_user("nina", "Operator")
    User.objects.filter(pk=user.pk).update(sees_all_tenants=False)
    user.visible_tenants.add(second)
    client.force_login(user)
    url = reverse("admin:tenants_tenant_change", args=[second.pk])
    UisConnection.objects.filter(tenant__in=[tenant, second]).update(account_id="7")  # The same since before the rule.
    page = client.get(url).content.decode()
    typed = {"crm-0-address": f"https://{CRM_HOST}", "uis-0-access_token": tenant.uis.access_token}
    refused = client.post(url, html_text.fields(page) | typed, headers=ENGLISH)
    assert html_text.text(refused).count("Another client already uses this") == 2
    for html in (page, refused.content.decode()):
        assert tenant.name not in html.replace(second.name, "")
        assert reverse("admin:tenants_tenant_change", args=[tenant.pk]) not in html


def test_new_client_with_used_accounts_is_refused(client, operator, tenant):
    url = reverse("admin:tenants_tenant_add")
    form = html_text.fields(client.get(url).content.decode()) | {"name": "Новый"}
    for typed in ({"crm-0-address": f"https://{CRM_HOST}"}, {"uis-0-access_token": tenant.uis.access_token}):
        assert client.post(url, form | typed).status_code == 200
    assert Tenant.objects.count() == 1


def test_account_of_another_key_and_host_is_refused_when_activated(tenant, crm, second, same_uis):
    """What was typed differs; the vendor says that it is the same account."""
    technical = f"https://{crm.technical_host}"
    given = give_keys(second, same_uis, technical, crm.key)
    with pytest.raises(CheckFailed) as failed:
        steps.activate(given, now=timezone.now())
    assert failed.value.result.check.code == "UIS_ACCOUNT_USED"
    with pytest.raises(CheckFailed) as failed:
        steps.run_step(given, steps.Step.CRM, now=timezone.now())
    assert failed.value.result.check.code == "CRM_ACCOUNT_USED"
    assert Tenant.objects.get(pk=second.pk).activated_at is None


def test_page_of_a_refused_client_links_to_the_other(client, operator, tenant, crm, second, same_uis):
    given = give_keys(second, same_uis, "https://new.retailcrm.ru", "k")
    with pytest.raises(CheckFailed):
        steps.activate(given, now=timezone.now())
    html = client.get(reverse("admin:tenants_tenant_change", args=[second.pk])).content.decode()
    shared = html.partition("data-shared-account")[2].partition("</p>")[0]
    assert f'href="{reverse("admin:tenants_tenant_change", args=[tenant.pk])}"' in shared


def test_client_who_left_frees_the_accounts_and_cannot_take_them_back(tenant, pbx, crm, second, same_uis):
    offboarding.offboard(tenant, now=timezone.now())
    given = give_keys(second, same_uis, f"https://{CRM_HOST}", crm.key)
    steps.activate(given, now=timezone.now())
    returning = give_keys(tenant, pbx.token, f"https://{CRM_HOST}", crm.key)
    with pytest.raises(CheckFailed) as failed:
        steps.activate(returning, now=timezone.now())
    assert failed.value.result.check.code == "UIS_ACCOUNT_USED"
    assert Tenant.objects.get(pk=tenant.pk).offboarded_at is not None


def test_account_taken_between_the_steps_is_refused_by_the_last(tenant, pbx, crm, second, same_uis):
    """A returning client has passed the first steps; before the last one another client takes the account."""
    offboarding.offboard(tenant, now=timezone.now())
    returning = give_keys(tenant, pbx.token, f"https://{CRM_HOST}", crm.key)
    for step in (steps.Step.UIS, steps.Step.CRM):
        steps.run_step(returning, step, now=timezone.now())
    steps.activate(give_keys(second, same_uis, f"https://{CRM_HOST}", crm.key), now=timezone.now())
    with pytest.raises(CheckFailed):
        steps.run_step(returning, steps.Step.ON, now=timezone.now())
    assert list(Tenant.objects.live()) == [second]


def test_key_of_another_clients_account_suspends_a_live_client(tenant, twin, same_uis, run_queue):
    UisConnection.objects.filter(tenant=twin).update(access_token=same_uis)
    tasks.probe(twin.pk)
    row = UisConnection.objects.get(tenant=twin)
    assert (row.denied_code, row.holds_account) == ("account_used", False)
    assert UisConnection.objects.get(tenant=tenant).denied_at is None
    UisConnection.objects.filter(tenant=twin).update(access_token="other-token")
    tasks.probe(twin.pk)
    row = UisConnection.objects.get(tenant=twin)
    assert (row.denied_code, row.holds_account) == ("", True)


def test_checks_find_clients_that_share_accounts_already(tenant, twin, same_uis):
    """In an installation from before this was refused nobody holds an account yet."""
    UisConnection.objects.update(account_id="", holds_account=False)
    CrmConnection.objects.update(account_id="", holds_account=False, address=f"https://{CRM_HOST}")
    UisConnection.objects.filter(tenant=twin).update(access_token=same_uis)
    found = {}
    for one in (tenant, twin):
        results = runner.run(Tenant.objects.get(pk=one.pk), now=timezone.now())
        found[one.slug] = {result.check.code for result in results if not result.ok and "USED" in result.check.code}
    assert found["stranger"] == {"UIS_ACCOUNT_USED", "CRM_ACCOUNT_USED"}
    assert found["romashka"] == {"CRM_ACCOUNT_USED"}


@needs.two_connections
def test_of_two_activations_at_once_one_is_refused(uis_world, pbx, crm, transactional_db):
    uis_world.accounts[OTHER_KEY] = pbx
    rivals = []
    for number, key in enumerate((pbx.token, OTHER_KEY)):
        new = onboarding.NewTenant(name=f"n{number}", uis_token=key, crm_url=f"https://{CRM_HOST}", crm_key=crm.key)
        rivals.append(onboarding.create_tenant(new, now=timezone.now()))
    barrier, outcomes = threading.Barrier(2), []

    def activate(rival):
        barrier.wait(timeout=10)
        try:
            steps.activate(rival, now=timezone.now())
            outcomes.append("ON")
        except CheckFailed as exc:
            outcomes.append(exc.result.check.code)
        connection.close()

    threads = [threading.Thread(target=activate, args=[rival]) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["ON", "UIS_ACCOUNT_USED"]
    assert Tenant.objects.live().count() == 1
