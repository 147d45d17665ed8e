"""The client's page in the admin: everything on one page, keys written and never read."""

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from tenants.models import CrmConnection, Employee, Tenant, UisConnection, VirtualNumber
from tests import html_text
from tests.conftest import IVAN
from tests.users import create_user

pytestmark = pytest.mark.sql


@pytest.fixture
def page(admin_client, tenant):
    """The client's page: read it, change it, send it back."""
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])

    def send(**changed):
        html = admin_client.get(url).content.decode()
        form = html_text.fields(html)
        form.update(changed)
        return admin_client.post(url, form), html

    return send


@pytest.mark.slow
def test_keys_are_never_shown(page, tenant):
    response, html = page()
    assert response.status_code == 302, html_text.errors(response)
    for secret in (tenant.uis.access_token, tenant.crm.key, tenant.crm.client_id, tenant.uis.hook):
        assert secret not in html
    assert f"…{tenant.crm.key[-4:]}" in html


@pytest.mark.slow
def test_empty_key_field_keeps_the_key_and_a_typed_one_replaces_it(page, tenant):
    page()
    assert UisConnection.objects.get().access_token == "uis-token"
    response, _html = page(**{"uis-0-access_token": "new-token"})
    assert response.status_code == 302
    assert UisConnection.objects.get().access_token == "new-token"
    assert CrmConnection.objects.get().key == tenant.crm.key


def test_keys_are_encrypted_in_their_rows(tenant):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT access_token FROM tenants_uisconnection")
        stored = cursor.fetchone()[0]
        cursor.execute("SELECT key, client_id FROM tenants_crmconnection")
        key, client_id = cursor.fetchone()
    assert "uis-token" not in stored
    assert tenant.crm.key not in key
    assert tenant.crm.client_id not in client_id


@pytest.mark.slow
def test_new_key_restores_a_suspended_connection(page, tenant):
    from django.utils import timezone

    tenant.uis.suspend("access_token_expired", "expired", now=timezone.now())
    page(**{"uis-0-access_token": "new-token"})
    assert UisConnection.objects.get().denied_at is None


@pytest.mark.slow
def test_saving_without_a_change_keeps_the_suspension(page, tenant):
    from django.utils import timezone

    tenant.uis.suspend("access_token_expired", "expired", now=timezone.now())
    page()
    assert UisConnection.objects.get().denied_at is not None


def test_rules_list_only_own_numbers(page, tenant, stranger):
    VirtualNumber.objects.filter(tenant=stranger).update(name="чужой")
    _response, html = page()
    assert "74950000009" not in html
    assert "74950000002" in html


@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize(
    "name",
    [
        *("tenants_tenant_changelist", "telephony_call_changelist", "telephony_notification_changelist"),
        *("crm_command_changelist", "crm_popup_changelist", "tenants_tenant_add"),
    ],
)
def test_every_page_opens_in_both_languages(admin_client, tenant, name, language):
    response = admin_client.get(reverse(f"admin:{name}"), headers={"accept-language": language})
    assert response.status_code == 200
    assert f'lang="{language}"' in response.content.decode()


def test_tenant_can_be_added(admin_client, db):
    url = reverse("admin:tenants_tenant_add")
    form = html_text.fields(admin_client.get(url).content.decode())
    form |= {
        "name": "Новый",
        "slug": "new",
        "uis-0-access_token": "t",
        "crm-0-address": "shop.retailcrm.ru",
        "crm-0-key": "k",
    }
    response = admin_client.post(url, form)
    assert response.status_code == 302, html_text.errors(response)
    added = Tenant.objects.get()
    assert (added.crm.address, added.crm.key, added.uis.access_token) == ("https://shop.retailcrm.ru", "k", "t")
    assert added.rules.upload_missed is True


@pytest.mark.slow
@pytest.mark.parametrize(("employee_count", "name"), [(3, "tenants_tenant_change"), (40, "tenants_tenant_change")])
def test_tenant_page_query_count_is_fixed(admin_client, tenant, django_assert_max_num_queries, employee_count, name):
    Employee.objects.bulk_create(Employee(tenant=tenant, uis_id=n, full_name=str(n)) for n in range(employee_count))
    with django_assert_max_num_queries(32):  # two for the lists of the draft
        assert admin_client.get(reverse(f"admin:{name}", args=[tenant.pk])).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 30])
def test_list_query_counts_are_fixed(admin_client, notify, pbx, crm, tenant, django_assert_max_num_queries, count):
    for number in range(count):
        call = pbx.call(contact=f"799900001{number:02d}", number="74950000001", rings=[IVAN])
        notify(call.notification("lost_call"))
    for name in ("telephony_call_changelist", "telephony_notification_changelist", "crm_popup_changelist"):
        with django_assert_max_num_queries(12):
            admin_client.get(reverse(f"admin:{name}"))


def test_migrate_creates_the_groups(db):
    operator, support = Group.objects.get(name="Operator"), Group.objects.get(name="Support")
    assert operator.permissions.filter(codename="change_tenant").exists()
    codenames = set(support.permissions.values_list("codename", flat=True))
    assert "change_call" in codenames
    assert "view_full_numbers" not in codenames  # begins like a right to view, but is for operators only
    assert {name for name in codenames if not name.startswith("view_")} == {
        "change_call",
        "play_recording",
        "acknowledge_incident",
    }


def test_support_may_view_but_not_change_a_tenant(client, tenant, notify, pbx, crm, crm_world):
    user = create_user("support", "Support")
    client.force_login(user)
    page = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert "access_token" not in page or 'name="uis-0-access_token"' not in page
    assert client.post(reverse("admin:tenants_tenant_change", args=[tenant.pk]), {}).status_code == 403
    assert client.get(reverse("admin:telephony_call_changelist")).status_code == 200
