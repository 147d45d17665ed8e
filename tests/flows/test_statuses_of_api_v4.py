"""A CRM account that serves API version 4 only takes no statuses: none is sent, and two-way sync is not offered."""

import json

import pytest
from django.urls import reverse
from django.utils import timezone

from connector_project.operations.admin import bulk_rule_change
from connector_project.operations.checks import runner
from crm import checks, client_factory, key_verification, status_sync
from telephony import tasks
from tenants.models import AuditLogEntry, CrmConnection, Tenant
from tests import html_text, tenant_factory
from tests.conftest import IVAN, NUMBER
from tests.rules import draft_of, publish_rules
from tests.users import create_user

pytestmark = pytest.mark.one_database

ENGLISH = {"accept-language": "en"}
RULE = reverse("admin:tenants_tenant_bulk_rule_change")
DO_NOT_DISTURB = 3


@pytest.fixture
def v4(tenant, crm):
    """A client whose account serves version 4 only, as an activation finds it."""
    crm.serves_v5 = False
    key_verification.verify_crm_key(tenant.crm)
    return load(tenant)


@pytest.fixture
def operator(db, client):
    client.force_login(create_user("olga", "Operator"))
    return client


def set_rule(tenant, value):
    publish_rules(tenant, status_sync=value)


def load(tenant):
    return Tenant.objects.select_related("crm", "uis", "rule_version").get(pk=tenant.pk)


def offered(page, name):
    """Return the values that a select of a page offers."""
    select = page.content.decode().partition(f'name="{name}"')[2].partition("</select>")[0]
    return [part.partition('"')[0] for part in select.split('value="')[1:]]


@pytest.mark.parametrize(
    ("version", "served", "is_v4"),
    [
        ("auto", "v4", True),
        ("auto", "v5", False),
        ("auto", "", False),
        ("v4", "v4", True),
        ("v4", "", True),
        ("v5", "v4", False),
        ("v5", "v5", False),
        ("v5", "", False),
    ],
)
def test_version_that_is_used_is_decided_alike_in_python_and_in_sql(tenant, run_queue, version, served, is_v4):
    set_rule(tenant, "BOTH")
    CrmConnection.objects.filter(tenant=tenant).update(version=version, served_version=served)
    assert client_factory.takes_statuses(load(tenant).crm) is not is_v4
    run_queue()
    tasks.poll_all()
    assert (run_queue() == 0) is is_v4


def test_stored_two_way_sync_sends_nothing(v4, pbx, crm, crm_world, uis_world, run_queue):
    set_rule(v4, "BOTH")
    pbx.employees[IVAN]["status_id"] = DO_NOT_DISTURB
    crm_world.requests.clear()
    tasks.poll_all()
    run_queue()
    tasks.poll_statuses(v4.pk)  # queued before the account lost version 5
    run_queue()
    assert status_sync.push(load(v4), now=timezone.now()) == 0
    assert [request.path for request in crm_world.requests if "/status" in request.path] == []
    assert not load(v4).crm.denials
    assert crm.users[27]["status"] == "free"


@pytest.mark.parametrize("rule", ["BOTH", "CRM_TO_UIS"])
def test_statuses_of_the_crm_are_set_in_uis_as_before(client, v4, pbx, run_queue, rule):
    set_rule(v4, rule)
    form = {"clientId": v4.crm.client_id, "userId": "27", "code": "101", "status": "busy"}
    assert client.post(f"/hooks/retailcrm/{v4.crm.hook}/change-user-status/", form).status_code == 200
    run_queue()
    assert pbx.employees[IVAN]["status_id"] == DO_NOT_DISTURB


@pytest.mark.parametrize(("rule", "is_ok"), [("BOTH", False), ("CRM_TO_UIS", True), ("OFF", True)])
def test_check_says_that_statuses_do_not_reach_the_crm(v4, rule, is_ok):
    set_rule(v4, rule)
    found = {result.check.code: result for result in runner.run(load(v4), now=timezone.now())}
    result = found["CRM_STATUS_SYNC"]
    assert (result.ok, result.check.responsible) == (is_ok, "operator")
    assert "CRM_SCOPE_USER_WRITE" not in found
    assert "4" in result.message
    assert checks.served_version(load(v4).crm, ("4.0",)) == "v4"


@pytest.mark.parametrize("lost", ["v5", "v4"])
def test_checks_follow_the_version_that_the_account_serves(tenant, crm, pbx, crm_world, run_queue, lost):
    set_rule(tenant, "BOTH")
    crm.serves_v5 = lost == "v4"
    CrmConnection.objects.filter(tenant=tenant).update(served_version=lost)
    runner.run(load(tenant), now=timezone.now())
    assert load(tenant).crm.served_version == ("v4" if lost == "v5" else "v5")
    pbx.employees[IVAN]["status_id"] = DO_NOT_DISTURB
    crm_world.requests.clear()
    tasks.poll_statuses(tenant.pk)
    run_queue()
    assert any("/status" in request.path for request in crm_world.requests) is (lost == "v4")


def test_account_that_serves_no_version_keeps_the_last_one(tenant, crm):
    CrmConnection.objects.filter(tenant=tenant).update(served_version="v4", version="v4")
    crm.serves_v5 = True
    runner.run(load(tenant), now=timezone.now())
    assert load(tenant).crm.served_version == "v4"


def test_check_passes_where_version_5_is_served(tenant):
    set_rule(tenant, "BOTH")
    found = {result.check.code: result.ok for result in runner.run(load(tenant), now=timezone.now())}
    assert found["CRM_STATUS_SYNC"]


def test_form_does_not_offer_two_way_sync(operator, v4):
    url = reverse("admin:tenants_tenant_change", args=[v4.pk])
    page = operator.get(url, headers=ENGLISH)
    assert offered(page, "draft-0-status_sync") == ["OFF", "CRM_TO_UIS"]
    form = html_text.fields(page.content.decode()) | {"draft-0-status_sync": "BOTH"}
    assert operator.post(url, form).status_code == 200
    assert draft_of(v4).status_sync == "CRM_TO_UIS"


def test_form_keeps_a_stored_choice_until_it_is_changed(operator, v4):
    set_rule(v4, "BOTH")
    url = reverse("admin:tenants_tenant_change", args=[v4.pk])
    form = html_text.fields(operator.get(url).content.decode())
    assert operator.post(url, form | {"draft-0-recording_wait_minutes": "11"}).status_code == 302
    assert draft_of(v4).status_sync == "BOTH"
    form = html_text.fields(operator.get(url).content.decode())
    assert operator.post(url, form | {"draft-0-status_sync": "OFF"}).status_code == 302
    assert offered(operator.get(url), "draft-0-status_sync") == ["OFF", "CRM_TO_UIS"]


def test_form_of_version_5_offers_all(operator, tenant):
    page = operator.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]))
    assert offered(page, "draft-0-status_sync") == ["OFF", "CRM_TO_UIS", "BOTH"]


def test_bulk_change_leaves_out_who_cannot(operator, v4, twin_pbx, twin_crm):
    twin = tenant_factory.activated("Чужой", "stranger", pbx=twin_pbx, crm=twin_crm, default_number=NUMBER)
    pks = f"{v4.pk},{twin.pk}"
    form = {"clients": pks, "rule": "status_sync", "value": "BOTH", "why": "a reason"}
    preview = operator.post(RULE, form, headers=ENGLISH)
    assert "1 of the selected clients cannot have this value" in html_text.text(preview)
    assert [line.client for line in preview.context["lines"]] == ["Чужой"]
    shown = html_text.fields(preview.content.decode()) | {"confirm": "yes"}
    assert operator.post(RULE, shown).status_code == 302
    assert (load(v4).rules.status_sync, load(twin).rules.status_sync) == ("CRM_TO_UIS", "BOTH")
    assert list(AuditLogEntry.objects.filter(field="status_sync").values_list("tenant", flat=True)) == [twin.pk] * 2


def test_bulk_change_of_those_who_cannot_offers_it_not(operator, v4):
    form = {"clients": str(v4.pk), "rule": "status_sync", "why": "a reason"}
    assert offered(operator.post(RULE, form), "value") == ["OFF", "CRM_TO_UIS"]
    page = operator.post(RULE, form | {"value": "BOTH"}, headers=ENGLISH)
    assert (page.context["is_vain"], page.context["refusing"]) == (True, 1)
    previewed = json.dumps({"rule": "status_sync", "value": "BOTH", "clients": {str(v4.pk): "CRM_TO_UIS"}})
    operator.post(RULE, form | {"value": "BOTH", "confirm": "yes", "previewed": previewed})
    assert load(v4).rules.status_sync == "CRM_TO_UIS"
    assert "status_sync" in bulk_rule_change.RULES


def test_bulk_change_to_another_value_is_open_to_all(operator, v4):
    form = {"clients": str(v4.pk), "rule": "status_sync", "value": "OFF", "why": "a reason"}
    preview = operator.post(RULE, form)
    shown = html_text.fields(preview.content.decode()) | {"confirm": "yes"}
    assert operator.post(RULE, shown).status_code == 302
    assert load(v4).rules.status_sync == "OFF"
