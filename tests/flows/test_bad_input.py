"""Bad input of every form: an error or a redirect, never a failure of ours."""

import json

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from connector_project.core.admin import fingerprints
from connector_project.operations.models import Incident
from telephony.models import Call, Notification
from tenants.models import Employee
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER

pytestmark = pytest.mark.sampled(1)

BAD = {
    "long": "x" * 10_000,
    "long number": "9" * 5_000,
    "large": str(2**63),
    "small": str(-(2**63) - 1),
    "above smallint": "40000",
    "NUL": "a\0b",
    "emoji": "\U0001f4de",
    "markup": "'\"><script>\r\n\u2028",
    "empty": "",
    "date": "0001-01-01",
    "late date": "9999-12-31",
    "nested": "[" * 100_000,
    "list": "[1]",
}


def change(app_label, model, pk):
    return reverse(f"admin:{app_label}_{model}_change", args=[pk])


@pytest.fixture
def failed_call(notify, pbx, tenant, crm):
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))
    Call.objects.update(state="READY", failed_at=timezone.now(), reason="CRM_REFUSED", uploaded_at=None)
    Notification.objects.update(outcome="UNREADABLE", reason="NO_EVENT")
    return Call.objects.get()


def pages(tenant, call, admin):
    """Return the address of each page with a form, and what else it needs."""
    bulk = {name: reverse("admin:telephony_bulkaction_preview", args=[name]) for name in ("RETRY", "SKIP", "REPROCESS")}
    incident = Incident.objects.create(
        tenant=tenant, kind="NO_EVENTS", opened_at=timezone.now(), last_seen_at=timezone.now(), state="OPEN"
    )
    mapping = reverse("admin:tenants_tenant_employee_mapping", args=[tenant.pk])
    rule = {"clients": str(tenant.pk), "rule": "recording_wait_minutes", "value": "5", "previewed": ""}
    employee = Employee.objects.filter(tenant=tenant).first().pk
    client_page = f"/activate/{tenant.activation_token}/"
    keys = {"brand": "uis", "access_token": "a", "address": "https://a.retailcrm.ru", "key": "b", "_opened": ""}
    return {
        "tenant": (change("tenants", "tenant", tenant.pk), None),
        "new tenant": (reverse("admin:tenants_tenant_add"), None),
        "user": (change("tenants", "user", admin.pk), None),
        "new user": (reverse("admin:tenants_user_add"), None),
        "password": (reverse("admin:auth_user_password_change", args=[admin.pk]), None),
        "own password": (reverse("admin:password_change"), None),
        "group": (change("auth", "group", Group.objects.first().pk), None),
        "new group": (reverse("admin:auth_group_add"), None),
        "new API key": (reverse("admin:tenants_apikey_add"), None),
        "retry": (bulk["RETRY"], None),
        "skip": (bulk["SKIP"], None),
        "reprocess": (f"{bulk['REPROCESS']}?reason=NO_EVENT", None),
        "import": (reverse("admin:telephony_bulkaction_import", args=[tenant.pk]), None),
        "skip one": (reverse("admin:telephony_call_skip", args=[call.pk]), {"reason": "a"}),
        "link": (mapping, {"act": "link", "employee": employee, "user": "1", "seen": ""}),
        "store": (mapping, {"act": "set_store", "number": "1", "store": "x", "seen": ""}),
        "rule": (reverse("admin:tenants_tenant_bulk_rule_change"), rule),
        "confirmed rule": (reverse("admin:tenants_tenant_bulk_rule_change"), rule | {"confirm": "yes"}),
        "incident": (reverse("admin:operations_incident_action", args=[incident.pk, "mute"]), {"note": "a"}),
        "keys": (client_page, {"do": "keys"} | keys),
        "number": (client_page, {"do": "number", "number": "1"}),
        "sample": (client_page, {"do": "card", "person": employee, "contact": "+79990000001"}),
        "end of sample": (client_page, {"do": "close", "person": employee, "contact": "+79990000001", "card": "a"}),
        "module": (client_page, {"clientId": "a"}),
    }


NAMES = [
    *("tenant", "new tenant", "user", "new user", "password", "own password", "group", "new group"),
    "new API key",
    *("retry", "skip", "reprocess", "import", "skip one", "link", "store", "rule", "confirmed rule", "incident"),
    *("keys", "number", "sample", "end of sample", "module"),
]


@pytest.fixture
def form_of(admin_client, admin_user, tenant, failed_call, monkeypatch):
    """Return a page's fields, and a function that sends them changed, in a transaction that is rolled back."""
    monkeypatch.setattr("connector_project.operations.onboarding.activation.MAX_ACTIONS", 10**6)

    def load(name):
        url, fields = pages(tenant, failed_call, admin_user)[name]
        if fields is None:
            fields = html_text.fields(admin_client.get(url).content.decode())

        def send(changed):
            with transaction.atomic():
                status = admin_client.post(url, changed).status_code
                transaction.set_rollback(True)
            admin_client.force_login(admin_user)
            assert status < 500
            return status

        return fields, send

    return load


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


def test_every_page_is_named(tenant, failed_call, admin_user):
    assert set(pages(tenant, failed_call, admin_user)) == set(NAMES)


# Their forms have a hundred fields and more.
LARGE = ("tenant", "new tenant")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.exhaustive) if name in LARGE else name for name in NAMES]
)
def test_bad_value_in_every_field_is_no_failure(form_of, name):
    fields, send = form_of(name)
    kept = {key: fields[key] for key in ("do", "act") if key in fields}
    send({})
    for bad in BAD.values():
        send(dict.fromkeys(fields, bad) | kept)


@pytest.mark.parametrize("count", ["0", "-1"])
def test_row_that_is_sent_as_new_is_rejected(form_of, count):
    fields, send = form_of("tenant")
    counts = [name for name in fields if name.endswith("-INITIAL_FORMS") and fields[name] != "0"]
    assert {name: send(fields | {name: count}) for name in counts} == dict.fromkeys(counts, 200)
    assert len(counts) == 4


@pytest.mark.exhaustive
@pytest.mark.parametrize("bad", [*BAD, "missing"])
@pytest.mark.parametrize("name", NAMES)
def test_bad_value_in_any_one_field_is_no_failure(form_of, name, bad):
    fields, send = form_of(name)
    failed = []
    for field in fields:
        try:
            send(fields | {field: BAD[bad]} if bad in BAD else without(fields, field))
        except Exception as exc:  # noqa: BLE001 -- all of them are to be seen at once
            failed.append((field, repr(exc)))
    assert failed == []


@pytest.mark.parametrize("key", ["x", "9" * 30, "-1", ""])
def test_impossible_keys_of_selected_rows_are_rejected(admin_client, failed_call, key):
    for model, action in {
        "telephony_call": "retry",
        "tenants_tenant": "change_one_rule",
        "tenants_user": "delete_selected",
    }.items():
        url = reverse(f"admin:{model}_changelist")
        assert admin_client.post(url, {"action": action, "_selected_action": [key]}).status_code in {302, 400}


LARGE_KEY = "9" * 30


def test_large_key_in_a_list_of_choices_is_rejected(admin_client, tenant):
    answer = admin_client.post(reverse("admin:auth_group_add"), {"name": "New", "permissions": [LARGE_KEY]})
    assert (answer.status_code, len(html_text.errors(answer)), Group.objects.filter(name="New").exists()) == (
        200,
        1,
        False,
    )


@pytest.mark.parametrize("name", ["tenants_tenant", "tenants_user", "auth_group", "tenants_apikey"])
def test_page_of_a_large_key_does_not_exist(admin_client, tenant, name):
    for method in (admin_client.get, admin_client.post):
        assert method(reverse(f"admin:{name}_change", args=[LARGE_KEY])).status_code == 302


def test_too_many_clients_for_one_rule_are_rejected(admin_client, tenant):
    clients = ",".join(map(str, range(1_000_000, 1_300_000)))
    posted = {"clients": clients, "rule": "recording_wait_minutes", "value": "5", "confirm": "yes"}
    assert admin_client.post(reverse("admin:tenants_tenant_bulk_rule_change"), posted).status_code == 302


def test_fingerprints_of_a_page_are_texts():
    """What was nested in them would be written back into the page."""
    assert fingerprints.parse(json.dumps({"a": {"b": [[]], "c": "d"}, "e": []})) == {"a": {"c": "d"}}


@pytest.mark.parametrize("extra", ['"\\ud800"', '"\\u0000"', "1e999", "[" * 400 + "1," * 20_000 + "1" + "]" * 400])
def test_call_with_an_odd_notification_can_be_opened(admin_client, client, hook, run_queue, extra):
    body = f'{{"event": "call_end", "call_session_id": 7, "notes": {extra}}}'
    assert client.post(hook, body, content_type="application/json").status_code == 200
    run_queue()
    answer = admin_client.get(change("telephony", "call", Call.objects.get().pk))
    assert (answer.status_code, len(answer.content) < 500_000) == (200, True)
