"""What staff who see numbers masked find of a whole number: nothing, on any page of the admin."""

import pytest
from django.urls import reverse
from django.utils import timezone

from connector_project.operations.alerts import actions
from connector_project.operations.checks import runner
from connector_project.operations.models import Incident
from crm.models import Command, Popup
from telephony.calls import manual
from telephony.models import AccessLogEntry, BulkAction, Call, Notification
from tenants.models import AuditLogEntry, CrmUser, Employee
from tests import filled_addresses as addresses
from tests.conftest import IVAN, PETR
from tests.populated import populate
from tests.rules import publish_rules
from tests.users import create_user

pytestmark = pytest.mark.one_database

ENGLISH = {"accept-language": "en"}
SECRET, LOCAL = "79261234567", "4951234"
NAME = f"Мобильный {SECRET}"


@pytest.fixture
def support(client, db):
    user = create_user("sveta", "Support")
    client.force_login(user)
    return user


@pytest.fixture
def everywhere(tenant, pbx, notify):
    """Rows of every kind, with a customer's number in each text that people or other systems wrote."""
    olga, now = create_user("olga", "Operator"), timezone.now()
    Employee.objects.filter(tenant=tenant).update(full_name=NAME)
    CrmUser.objects.filter(tenant=tenant).update(name=NAME)
    ivan, petr = (Employee.objects.get(tenant=tenant, uis_id=uis_id) for uis_id in (IVAN, PETR))
    publish_rules(tenant, employees=[ivan])
    populate(tenant, pbx, notify, by=olga)
    values = {"tenant": tenant, "employee": petr, "contact": SECRET, "session_id": 4_100}
    Popup.objects.create(**values, ringing_at=now, received_at=now, sent_at=now, detail=f"no card of {SECRET}")
    Employee.objects.filter(pk=petr.pk).update(crm_user_id=None)
    runner.run(tenant, now=now)
    incident = Incident.objects.get()
    actions.apply(actions.ACTIONS["acknowledge"], [incident.pk], by=olga, note=f"called +{SECRET}", now=now)
    call = Call.objects.order_by("pk")[0]
    manual.log_per_tenant({tenant.pk: 1}, AuditLogEntry.Action.CALLS_SKIPPED, by=olga, reason=SECRET, now=now)
    Call.objects.filter(pk=call.pk).update(contact=SECRET)
    BulkAction.objects.filter(kind=BulkAction.Kind.RETRY).update(filters={"q": f"Мобильный {SECRET}"}, comment=SECRET)
    return tenant


def pages():
    closed = {"admin:logout", "admin:jsi18n", "admin:autocomplete"}
    found = [one for one in addresses.find() if one.path.startswith("/admin/") and one.is_found]
    return [one.path for one in found if one.name not in closed and "/action/" not in one.path]


def read(client, paths):
    shown = {}
    for path in paths:
        answer = client.get(path, headers=ENGLISH)
        if not answer.streaming:
            shown[path] = answer.content.decode()
    return shown


@pytest.mark.exhaustive
def test_no_page_shows_a_whole_number(client, support, everywhere):
    assert [path for path, html in read(client, pages()).items() if SECRET in html] == []


def test_page_of_each_kind_masks_it(client, support, everywhere):
    rows = [Popup.objects.get(session_id=4_100), Incident.objects.get(), BulkAction.objects.get(kind="RETRY")]
    paths = [reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk]) for row in rows]
    paths += [reverse(f"admin:tenants_{name}_changelist") for name in ("employee", "auditlogentry")]
    paths += [reverse(f"admin:tenants_tenant_{name}", args=[everywhere.pk]) for name in ("change", "employee_mapping")]
    shown = read(client, paths)
    assert [path for path, html in shown.items() if SECRET in html or "***4567" not in html] == []


@pytest.mark.parametrize("model", [Command, Notification])
def test_number_without_a_code_is_masked_in_what_was_received(client, support, tenant, model):
    now = timezone.now()
    if model is Command:
        params = {"phone": "495-12-34", "again": LOCAL}
        row = Command.objects.create(
            tenant=tenant,
            kind="MAKE_CALL",
            received_at=now,
            contact=LOCAL,
            params=params,
            detail=f"no route to {LOCAL}",
        )
    else:
        body, event = f'{{"contact_phone_number": "{LOCAL}"}}', {"version": 1, "values": {"contact": LOCAL}}
        row = Notification.objects.create(
            tenant=tenant, received_at=now, body=body, query=f"contact={LOCAL}", digest="x", parsed_event=event
        )
    html = client.get(reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])).content
    assert b"***1234" in html
    assert not [form for form in (LOCAL, "495-12-34") if form.encode() in html]


def found(client, **query):
    return len(client.get("/admin/tenants/employee/", query).context["cl"].result_list)


def test_search_for_employees_tells_no_digit_of_a_number_in_a_name(client, support, tenant):
    Employee.objects.filter(uis_id=IVAN).update(full_name="Мобильный +7 926 123-45-67")
    parts = ["7", "926", "123", SECRET, "Мобильный 123", "123-45"]
    assert {found(client, q=text) for text in parts} == {0}
    autocomplete = reverse(
        "admin:autocomplete", query={"app_label": "telephony", "model_name": "call", "field_name": "employee"}
    )
    assert client.get(f"{autocomplete}&term=926").json()["results"] == []
    assert "926 123" not in client.get(f"{autocomplete}&term=мобильный").content.decode("unicode-escape")
    assert (found(client, q="мобильный"), found(client, q="101"), found(client, q="Пётр Ромашка")) == (1, 1, 1)
    client.force_login(create_user("olga", "Operator"))
    assert (found(client, q="926"), found(client, q="Мобильный 123-45")) == (1, 1)


def test_whoever_sees_numbers_reads_the_whole_name_on_the_employees_page(client, tenant):
    Employee.objects.filter(uis_id=IVAN).update(full_name=NAME)
    url = reverse("admin:tenants_employee_change", args=[Employee.objects.get(uis_id=IVAN).pk])
    for group, is_whole in (("Operator", True), ("Support", False)):
        client.force_login(create_user(group.lower(), group))
        assert (SECRET in client.get(url).content.decode()) is is_whole


def test_whole_numbers_in_the_rules_are_in_the_access_log(client, tenant):
    url, entries = reverse("admin:tenants_tenant_change", args=[tenant.pk]), AccessLogEntry.objects
    users = {group: create_user(group.lower(), group) for group in ("Operator", "Support")}
    client.force_login(users["Operator"])
    client.get(url)
    assert not entries.exists()
    publish_rules(tenant, contacts=f"{SECRET}\n7495123*")
    for user in users.values():
        client.force_login(user)
        assert (SECRET in client.get(url).content.decode()) is (user == users["Operator"])
        client.get(url)
    [entry] = entries.values_list("kind", "tenant", "call", "user", "detail", "count")
    assert entry == ("PHONE_NUMBER", tenant.pk, None, users["Operator"].pk, "contacts", 2)
    assert "contacts" in client.get(reverse("admin:telephony_accesslogentry_changelist")).content.decode()
