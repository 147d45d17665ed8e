"""The admin's list of clients, problems first; the client's page, the audit log, one rule changed for many."""

import html as entities
import re
from datetime import datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.text import capfirst

from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.core.check_results import CHECKS, CheckResult, Responsible
from connector_project.operations import bulk_rules
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.admin import bulk_rule_change
from connector_project.operations.admin.audit_log import actor
from connector_project.operations.alerts import denials, incident_texts
from connector_project.operations.models import Activation, Incident
from crm import integration_module
from crm.models import Command, Popup
from telephony.models import AccessLogEntry, Call, Notification
from telephony.webhooks import status
from tenants import audit, rule_versions
from tenants.access_errors import AccessError
from tenants.models import (
    AuditLogEntry,
    CheckRun,
    CrmConnection,
    Employee,
    RuleDraft,
    Tenant,
    UisConnection,
    User,
    VirtualNumber,
)
from tenants.status_labels import crm_status, uis_status
from tests import html_text
from tests.rules import current_rules, publish_rules, publish_rules_for_all
from tests.users import create_user

pytestmark = pytest.mark.one_database

ENGLISH, RUSSIAN = {"accept-language": "en"}, {"accept-language": "ru"}
LIST = "/admin/tenants/tenant/"
RULE = "/admin/tenants/tenant/bulk-rule-change/"
NOON = datetime.fromisoformat("2026-11-24T12:00:00+03:00")  # a Tuesday


@pytest.fixture
def operator(client, db):
    user = create_user("olga", "Operator")
    client.force_login(user)
    return user


@pytest.fixture
def support(client, db):
    user = create_user("sveta", "Support")
    client.force_login(user)
    return user


@pytest.fixture
def noon():
    with time_machine.travel(NOON, tick=False):
        yield NOON


def add(name, *, activated=True, has_event=True, **values):
    now = timezone.now()
    tenant = Tenant.objects.create(
        name=name, slug=name, activated_at=now - timedelta(days=9) if activated else None, **values
    )
    UisConnection.objects.create(tenant=tenant, access_token=f"key-of-{name}-0123456789")
    CrmConnection.objects.create(tenant=tenant, address=f"https://{name}.retailcrm.ru")
    rule_versions.begin(tenant, {}, now=timezone.now())
    if has_event:
        Notification.objects.create(tenant=tenant, received_at=now - timedelta(minutes=5), digest=name)
    return tenant


@pytest.fixture
def all_states(noon, db):
    """One client of each kind."""
    add("a-active")
    add("b-offboarded", offboarded_at=NOON)
    add("c-paused", is_paused=True)
    add("d-new", activated=False)
    failing = add("e-failing")
    stored = [{"check": "UIS_EMPLOYEES", "ok": False, "params": {"count": "0"}}]
    CheckRun.objects.create(tenant=failing, failed_count=1, results=stored, checked_at=NOON)
    stopped = add("f-stopped", activated=False)
    Activation.objects.create(tenant=stopped, state="FAILED", step="UIS", started_at=NOON, code="UIS_KEY")
    add("g-no-events", has_event=False)
    add("h-denied").uis.suspend("ip_not_whitelisted", "no", now=NOON)
    add("i-refused").crm.suspend("key", "no", now=NOON)
    operations_tasks.evaluate_alerts()


def names(response):
    return re.findall(r'<th class="field-name"><a[^>]*>([^<]*)</a>', response.content.decode())


def cells(response):
    """Return (state, reason, responsible) of each client of the list, by name."""
    found = {}
    for row in re.findall(r'<tr>(?:(?!</tr>).)*class="field-name".*?</tr>', response.content.decode(), re.DOTALL):
        reason, _div, responsible = re.search(r'class="field-reason">(.*?)</td>', row, re.DOTALL)[1].partition("<div")
        found[re.search(r'class="field-name"><a[^>]*>([^<]*)', row)[1]] = (
            re.search(r"admin-state admin-(\w+)", row)[1],
            entities.unescape(reason).strip(),
            responsible,
        )
    return found


def test_clients_with_problems_come_first(client, operator, all_states):
    assert names(client.get(LIST)) == [
        *(
            "h-denied",
            "i-refused",
            "g-no-events",
            "f-stopped",
            "e-failing",
            "d-new",
            "c-paused",
            "a-active",
            "b-offboarded",
        )
    ]


def test_row_shows_state_reason_and_responsible(client, operator, all_states):
    rows = cells(client.get(LIST, headers=ENGLISH))
    with translation.override("en"):
        no_events = incident_texts.message(Incident.objects.get(kind="NO_EVENTS", tenant__name="g-no-events"), now=NOON)
        failed_step = CheckResult(CHECKS["UIS_KEY"], ok=False)
        failed_check = CheckResult(CHECKS["UIS_EMPLOYEES"], ok=False, params={"count": "0"})
        expected = {
            "h-denied": ("access_denied", denials.describe(AccessError.ADDRESS_NOT_LISTED), Responsible.CLIENT),
            "i-refused": ("access_denied", str(AccessError.CRM_KEY.label), Responsible.CLIENT),
            "g-no-events": ("no_events", no_events, Responsible.CLIENT),
            "f-stopped": ("activation_failed", failed_step.message, failed_step.check.responsible),
            "e-failing": ("failing", failed_check.message, failed_check.check.responsible),
        }
        for name, (state, reason, responsible) in expected.items():
            assert rows[name][:2] == (state, reason)
            assert str(responsible.label) in rows[name][2]
        for name, state in (("d-new", "not_activated"), ("c-paused", "paused")):
            assert (rows[name][0], bool(rows[name][1])) == (state, True)
            assert str(Responsible.OPERATOR.label) in rows[name][2]


def test_row_shows_calls_today_and_last_event(client, operator, noon):
    tenant = add("shop")
    for number, ago in enumerate([timedelta(minutes=5), timedelta(hours=11), timedelta(hours=13)]):
        at = NOON - ago
        Call.objects.create(
            tenant=tenant, session_id=number, state="SKIPPED", started_at=at, ended_at=at, retry_window_started_at=at
        )
    html = client.get(LIST, headers=ENGLISH).content.decode()
    assert f'<a href="/admin/telephony/call/?tenant__id__exact={tenant.pk}">2</a>' in html
    assert "11:55" in html


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ("uis", ["h-denied"]),
        ("crm", ["i-refused"]),
        ("no_events", ["g-no-events"]),
        ("unlinked", ["a-active"]),
        ("checks", ["e-failing"]),
        ("activation", ["f-stopped", "d-new"]),
        ("calls", ["c-paused"]),
        ("nonsense", None),
    ],
)
def test_list_is_filtered_by_problem(client, operator, all_states, problem, expected):
    by_name = {tenant.name: tenant for tenant in Tenant.objects.all()}
    Employee.objects.create(tenant=by_name["a-active"], uis_id=1)
    Employee.objects.create(tenant=by_name["c-paused"], uis_id=1, linked_by="NOT_NEEDED")
    Employee.objects.create(tenant=by_name["d-new"], uis_id=1, is_dismissed=True)
    Employee.objects.create(tenant=by_name["e-failing"], uis_id=1, crm_user_id=5)
    Employee.objects.create(tenant=by_name["b-offboarded"], uis_id=1)
    for name, ago in (("c-paused", 1), ("a-active", 13)):
        at = NOON - timedelta(hours=ago)
        Call.objects.create(
            tenant=by_name[name],
            session_id=1,
            state="READY",
            started_at=at,
            ended_at=at,
            retry_window_started_at=at,
            failed_at=at,
        )
    assert names(client.get(LIST, {"wrong": problem})) == (
        expected if expected is not None else names(client.get(LIST))
    )


def test_list_is_filtered_by_state(client, operator, all_states):
    assert names(client.get(LIST, {"state": "ACCESS_DENIED"})) == ["h-denied", "i-refused"]
    assert names(client.get(LIST, {"state": "PAUSED"})) == ["c-paused"]
    assert len(names(client.get(LIST, {"state": "nonsense"}))) == 9


def test_list_is_sorted_and_searched(client, operator, all_states):
    assert names(client.get(LIST, {"o": "1"}))[0] == "a-active"
    assert names(client.get(LIST, {"o": "-2"}))[0] == "b-offboarded"
    assert names(client.get(LIST, {"q": "c-paused.retailcrm"})) == ["c-paused"]


@pytest.mark.slow
def test_list_has_fifty_clients_a_page(client, operator, noon):
    for number in range(53):
        add(f"shop-{number}")
    assert len(names(client.get(LIST))) == 50
    assert len(names(client.get(LIST, {"p": 2}))) == 3
    assert len(names(client.get(LIST, {"all": ""}))) == 50


def _count_queries(client, url, data=None, **post):
    client.get(url)  # Queries that a process makes once do not count.
    with CaptureQueriesContext(connection) as queries:
        response = client.post(url, post) if post else client.get(url, data or {})
    assert response.status_code == 200
    return len(queries)


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["", "no_events", "unlinked", "calls"])
def test_list_query_count_does_not_grow(client, operator, all_states, problem):
    Employee.objects.create(tenant=Tenant.objects.get(name="a-active"), uis_id=1)
    Call.objects.create(
        tenant=Tenant.objects.get(name="a-active"),
        session_id=1,
        state="READY",
        **dict.fromkeys(("started_at", "ended_at", "retry_window_started_at", "failed_at"), NOON),
    )
    few = _count_queries(client, LIST, {"wrong": problem} if problem else {})
    for number in range(60):
        tenant = add(f"shop-{number}", has_event=bool(number % 2), time_zone=["Asia/Omsk", "Europe/Samara"][number % 2])
        CheckRun.objects.create(tenant=tenant, failed_count=number % 3)
        Employee.objects.create(tenant=tenant, uis_id=1)
    many = _count_queries(client, LIST, {"wrong": problem} if problem else {})
    assert many == few <= 13


@pytest.mark.slow
def test_page_and_audit_log_query_counts_do_not_grow(client, operator, tenant):
    page = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    whole = reverse("admin:tenants_auditlogentry_changelist")
    others = [User.objects.create_user(f"u{number}") for number in range(5)]

    def write(count):
        Employee.objects.bulk_create(
            Employee(tenant=tenant, uis_id=Employee.objects.count() + number) for number in range(count)
        )
        for number in range(count):
            audit.log(
                tenant,
                AuditLogEntry.Action.CHANGED,
                now=timezone.now(),
                by=others[number % 5],
                target=tenant,
                field="name",
            )

    write(2)
    few = _count_queries(client, page), _count_queries(client, whole)
    write(40)
    assert (_count_queries(client, page), _count_queries(client, whole)) == few
    # One finds other clients with the same account, one the source addresses of notifications, two the draft's lists.
    assert few[0] <= 33
    assert few[1] <= 12


@pytest.fixture
def send(client, operator, tenant):
    """Change values on the client's page, as a browser would."""
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])

    def change(**values):
        form = html_text.fields(client.get(url, headers=ENGLISH).content.decode())
        response = client.post(url, form | values)
        assert response.status_code == 302, html_text.errors(response)

    return change


# How the audit log names what a client has once.
CLIENT, UIS, CRM, RULES = (model._meta.model_name for model in (Tenant, UisConnection, CrmConnection, RuleDraft))


def audit_rows():
    """Return the rows of the audit log."""
    return list(AuditLogEntry.objects.order_by("pk").values_list("action", "object_repr", "field", "old", "new"))


@pytest.mark.slow
def test_saving_without_a_change_writes_nothing(send, tenant):
    send()
    assert audit_rows() == []


@pytest.mark.slow
def test_audit_log_has_old_and_new_values(send, tenant):
    number = VirtualNumber.objects.get(number="74950000002")
    send(
        **{
            "name": "Лютик",
            "opens_at": "10:00:00",
            "uis-0-brand": "comagic",
            "draft-0-popup_incoming": "OFF",
            "draft-0-upload_internal": "on",
            "draft-0-numbers": [str(number.pk)],
        }
    )
    assert set(audit_rows()) == {
        ("CHANGED", CLIENT, "name", "Ромашка", "Лютик"),
        ("CHANGED", CLIENT, "opens_at", "09:00:00", "10:00:00"),
        ("CHANGED", UIS, "brand", "uis", "comagic"),
        ("CHANGED", RULES, "popup_incoming", "ON_RING", "OFF"),
        ("CHANGED", RULES, "upload_internal", "False", "True"),
        ("CHANGED", RULES, "numbers", "", "+74950000002"),
    }
    assert {change.user.username for change in AuditLogEntry.objects.all()} == {"olga"}
    assert {change.tenant_id for change in AuditLogEntry.objects.all()} == {tenant.pk}
    AuditLogEntry.objects.all().delete()
    send(**{"draft-0-numbers": []})
    assert set(audit_rows()) == {
        ("CHANGED", RULES, "numbers", "+74950000002", ""),
    }


def _employee(tenant, index):
    return list(Employee.objects.filter(tenant=tenant).values_list("uis_id", flat=True))[index]


@pytest.mark.slow
def test_audit_log_never_has_key_values(send, tenant):
    send(**{"uis-0-access_token": "a-new-secret-token", "crm-0-key": "a-new-secret-key"})
    assert set(audit_rows()) == {
        ("KEY_SET", UIS, "access_token", "", ""),
        ("KEY_SET", CRM, "key", "", ""),
    }


@pytest.mark.slow
def test_audit_log_has_added_and_removed_numbers(send, tenant):
    added = {
        "virtual_numbers-TOTAL_FORMS": "3",
        "virtual_numbers-2-number": "74950000077",
        "virtual_numbers-2-site": "shop",
        "virtual_numbers-2-tenant": str(tenant.pk),
    }
    send(**added)
    assert set(audit_rows()) == {
        ("ADDED", "virtualnumber +74950000077", "number", "", "74950000077"),
        ("ADDED", "virtualnumber +74950000077", "site", "", "shop"),
    }
    AuditLogEntry.objects.all().delete()
    send(**{"virtual_numbers-2-DELETE": "on"})
    assert audit_rows() == [("REMOVED", "virtualnumber +74950000077", "", "", "")]
    assert not VirtualNumber.objects.filter(number="74950000077").exists()


@pytest.mark.slow
def test_tenant_page_shows_recent_audit_entries(client, operator, send, tenant):
    for number in range(22):
        names = {"old": f"Name {number - 1}", "new": f"Name {number}"}
        audit.log(
            tenant, AuditLogEntry.Action.CHANGED, now=timezone.now(), by=operator, target=tenant, field="name", **names
        )
    Tenant.objects.update(name="Name 21")
    send(name="Name 22")
    page = html_text.text(client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH))
    with translation.override("en"):
        entry = AuditLogEntry.objects.get(old="Name 21")
        rendered = audit.render(entry)
        assert (rendered.target, rendered.field) == (
            capfirst(Tenant._meta.verbose_name),
            str(Tenant._meta.get_field("name").verbose_name),
        )
        assert f"{entry.get_action_display()} {rendered.target} {rendered.field} Name 21 Name 22" in page
    assert "Name 2 Name 3" in page
    assert "Name 1 Name 2" not in page
    history = client.get(reverse("admin:tenants_tenant_history", args=[tenant.pk]))
    assert history.url == f"/admin/tenants/auditlogentry/?tenant__id__exact={tenant.pk}"
    whole = html_text.text(client.get(history.url, headers=ENGLISH))
    assert "Name 1 Name 2" in whole
    assert "olga" in whole


def test_audit_log_is_read_only(client, operator, tenant):
    audit.log(tenant, AuditLogEntry.Action.PAUSED, now=timezone.now(), by=operator)
    row = AuditLogEntry.objects.get()
    assert client.get("/admin/tenants/auditlogentry/add/").status_code == 403
    assert client.post(f"/admin/tenants/auditlogentry/{row.pk}/delete/").status_code == 403
    assert client.post(f"/admin/tenants/auditlogentry/{row.pk}/change/", {"action": "OFFBOARDED"}).status_code == 403
    assert client.get(f"/admin/tenants/auditlogentry/{row.pk}/change/").status_code == 200


def test_audit_log_distinguishes_client_from_system(client, operator, tenant):
    audit.log(tenant, AuditLogEntry.Action.ACTIVATED, now=timezone.now(), by_client=True)
    audit.log(
        tenant, AuditLogEntry.Action.CONNECTED, now=timezone.now(), target="odd part", field="x", old="1", new="2"
    )
    text = html_text.text(client.get("/admin/tenants/auditlogentry/", headers=ENGLISH))
    with translation.override("en"):
        activated, connected = AuditLogEntry.objects.order_by("pk")
        assert actor(activated) != actor(connected)
        assert f"{actor(activated)} {activated.get_action_display()}" in text
        assert f"{actor(connected)} {connected.get_action_display()} odd part x 1 2" in text


@pytest.mark.slow
def test_new_tenant_needs_a_name_and_gets_a_link(client, operator, db):
    url = reverse("admin:tenants_tenant_add")
    form = html_text.fields(client.get(url).content.decode())
    assert not [name for name in form if name.startswith(("rules", "employees", "slug", "works"))]
    response = client.post(url, form | {"name": "Ромашка", "language": "ru", "uis-0-brand": "uis"}, follow=True)
    tenant = Tenant.objects.get()
    assert response.redirect_chain[-1][0] == reverse("admin:tenants_tenant_change", args=[tenant.pk])
    assert integration_module.activation_url(tenant) in "".join(
        str(message) for message in response.context["messages"]
    )
    assert tenant.activation_expires_at > timezone.now() + timedelta(days=13)
    assert (tenant.slug, tenant.uis.brand, tenant.crm.address, tenant.rules.upload_missed) == (
        "romashka",
        "uis",
        "",
        True,
    )
    assert tenant.activation_token not in client.get(response.redirect_chain[-1][0]).content.decode()
    assert ("ADDED", CLIENT, "name", "", "Ромашка") in audit_rows()
    second = client.post(url, form | {"name": "Роза", "language": "ru", "uis-0-brand": "uis", "_addanother": "1"})
    assert second.url == url
    assert set(Tenant.objects.values_list("slug", flat=True)) == {"romashka", "roza"}


def test_only_unactivated_tenants_can_be_deleted(client, operator, tenant):
    unactivated = add("unactivated", activated=False, has_event=False)
    assert client.post(f"/admin/tenants/tenant/{tenant.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"/admin/tenants/tenant/{unactivated.pk}/delete/", {"post": "yes"}).status_code == 302
    assert list(Tenant.objects.all()) == [tenant]
    row = AuditLogEntry.objects.get()
    assert (row.action, row.tenant_id, row.tenant_name) == ("REMOVED", None, "unactivated")
    assert "delete_selected" not in client.get(LIST).content.decode()


def test_support_sees_the_status_but_no_keys_and_no_actions(client, support, tenant):
    page = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH)
    html = page.content.decode()
    for secret in (tenant.uis.access_token, tenant.crm.key, tenant.crm.client_id, tenant.uis.hook):
        assert secret not in html
    assert tenant.activation_token not in html
    assert f"…{tenant.crm.key[-4:]}" in html
    assert "/action/" not in html
    assert '<span class="admin-state admin-' in html
    assert "change_one_rule" not in client.get(LIST).content.decode()
    assert client.get("/admin/tenants/auditlogentry/").status_code == 200
    assert client.get("/admin/tenants/tenant/add/").status_code == 403
    assert client.post(RULE, {"clients": str(tenant.pk), "rule": "owner"}).status_code == 403
    response = client.post(LIST, {"action": "change_one_rule", "_selected_action": [tenant.pk]})
    assert RULE not in response.content.decode()


@pytest.mark.slow
def test_short_key_is_fully_hidden(client, operator, tenant):
    html = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH).content.decode()
    assert "oken" not in re.sub("csrfmiddlewaretoken|access_token|Broken_Hill", "", html)


@pytest.fixture
def three(operator, db):
    clients = [add(name) for name in ("one", "two", "three")]
    publish_rules(clients[2], popup_incoming="OFF")
    return clients


def _pks(clients):
    return ",".join(str(tenant.pk) for tenant in clients)


def test_bulk_rule_change_previews_and_confirms(client, three):
    stranger = add("four")
    chosen = {"action": "change_one_rule", "_selected_action": [tenant.pk for tenant in three]}
    first = html_text.fields(client.post(LIST, chosen, headers=ENGLISH).content.decode())
    assert sorted(first["clients"].split(",")) == sorted(_pks(three).split(","))
    second = client.post(RULE, first | {"rule": "popup_incoming"}, headers=ENGLISH)
    with translation.override("en"):
        assert capfirst(str(bulk_rule_change.RULES["popup_incoming"].verbose_name)) in html_text.text(second)
    form = html_text.fields(second.content.decode()) | {"value": "OFF", "why": "quiet"}
    preview = client.post(RULE, form, headers=ENGLISH)
    with translation.override("en"):
        now, then = (
            audit.describe_value(bulk_rule_change.RULES["popup_incoming"], value) for value in ("ON_RING", "OFF")
        )
    assert f"one {now} {then} Publish two {now} {then} Publish" in html_text.text(preview)
    assert (len(preview.context["lines"]), preview.context["unchanged"]) == (2, 1)
    assert re.search(r'name="confirm" value="yes">[^<]*\b2\b', preview.content.decode())
    assert _popups() == {"one": "ON_RING", "two": "ON_RING", "three": "OFF", "four": "ON_RING"}
    assert audit_rows() == []
    done = client.post(
        RULE,
        html_text.fields(preview.content.decode()) | {"confirm": "yes", "publish": _pks(three).split(",")},
        follow=True,
        headers=ENGLISH,
    )
    assert done.redirect_chain[-1][0] == LIST
    [message] = done.context["messages"]
    assert (message.level_tag, re.findall(r"\d+", str(message))) == ("success", ["2"])
    assert _popups() == {"one": "OFF", "two": "OFF", "three": "OFF", "four": "ON_RING"}
    published = [("RULES_PUBLISHED", "ruleversion 2", "", "1", "quiet")]
    changed = [("CHANGED", of, "popup_incoming", "ON_RING", "OFF") for of in (RULES, "ruleversion 2")]
    assert sorted(audit_rows()) == sorted([*published, *changed] * 2)
    assert {change.tenant.name for change in AuditLogEntry.objects.all()} == {"one", "two"}
    assert not AuditLogEntry.objects.filter(tenant=stranger).exists()


def test_bulk_rule_change_leaves_clients_changed_since_the_preview(client, three):
    form = {"clients": _pks(three), "rule": "popup_incoming", "value": "OFF", "why": "quiet"}
    shown = html_text.fields(client.post(RULE, form, headers=ENGLISH).content.decode())
    publish_rules(three[1], popup_incoming="OFF")
    publish_rules(three[2], popup_incoming="ON_RING")
    boxes = {"confirm": "yes", "publish": _pks(three).split(",")}
    done = client.post(RULE, shown | boxes, follow=True, headers=ENGLISH)
    found = [(message.level_tag, re.findall(r"\d+", str(message))) for message in done.context["messages"]]
    assert found == [("success", ["1"]), ("warning", ["1"])]
    assert _popups() == {"one": "OFF", "two": "OFF", "three": "ON_RING"}
    assert {change.tenant.name for change in AuditLogEntry.objects.all()} == {"one"}


def _popups():
    return {one.name: one.rules.popup_incoming for one in Tenant.objects.select_related("rule_version")}


def test_bulk_rule_change_accepts_all_tenants(client, operator, noon):
    for number in range(60):
        add(f"shop-{number}")
    chosen = {"action": "change_one_rule", "select_across": "1", "_selected_action": [Tenant.objects.first().pk]}
    form = html_text.fields(client.post(LIST, chosen).content.decode())
    assert len(form["clients"].split(",")) == 60


@pytest.mark.parametrize(
    ("rule", "value", "stored"),
    [
        ("upload_internal", "True", True),
        ("send_recording", "False", False),
        ("recording_wait_minutes", "25", 25),
        ("owner", "FIRST_TALKER", "FIRST_TALKER"),
        ("status_busy", "not_at_work", "not_at_work"),
    ],
)
def test_bulk_rule_change_of_each_kind(client, three, rule, value, stored):
    form = {"clients": _pks(three), "rule": rule, "value": value, "why": "a reason"}
    boxes = {"value": value, "confirm": "yes", "publish": _pks(three).split(",")}
    shown = html_text.fields(client.post(RULE, form).content.decode()) | boxes
    client.post(RULE, shown)
    assert {getattr(current_rules(one), rule) for one in three} == {stored}
    assert set(RuleDraft.objects.values_list(rule, flat=True)) == {stored}
    assert AuditLogEntry.objects.count() == 9
    client.post(RULE, shown)
    assert AuditLogEntry.objects.count() == 9


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("recording_wait_minutes", "-1"),
        ("recording_wait_minutes", ""),
        ("owner", "NOBODY_KNOWS"),
        ("status_busy", "own-status-7"),
        ("upload_internal", "maybe"),
        ("contacts", "7"),
        ("tenant", "1"),
        ("numbers", "1"),
        ("number_filter", "ALL"),
    ],
)
def test_bulk_rule_change_rejects_invalid_values_and_lists(client, three, rule, value):
    before = list(RuleDraft.objects.order_by("pk").values())
    typed = {"clients": _pks(three), "rule": rule, "value": value, "confirm": "yes", "why": "a reason"}
    response = client.post(RULE, typed)
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert list(RuleDraft.objects.order_by("pk").values()) == before
    assert audit_rows() == []


@pytest.mark.parametrize("clients", ["", "x", "1;2", "9" * 40, "1,"])
def test_bulk_rule_change_redirects_on_invalid_tenants(client, operator, clients):
    assert client.post(RULE, {"clients": clients, "rule": "owner"}).url == LIST
    assert client.get(RULE).url == LIST


def test_bulk_rule_preview_query_count_does_not_grow(client, three):
    few = _count_queries(client, RULE, clients=_pks(three), rule="owner", value="FIRST_TALKER", why="a reason")
    many = [add(f"shop-{number}") for number in range(60)]
    assert (
        _count_queries(client, RULE, clients=_pks(many), rule="owner", value="FIRST_TALKER", why="a reason") == few <= 8
    )


def test_bulk_rule_change_costs_a_fixed_number_of_statements_per_client(operator, three):
    def count_queries(clients):
        lines = bulk_rules.preview([one.pk for one in clients], "owner", "FIRST_TALKER", reader=operator, now=NOON)
        seen = {int(line.pk): line.seen for line in lines}
        with CaptureQueriesContext(connection) as queries:
            more = {"publish": set(seen), "why": "a reason", "by": operator, "now": NOON}
            assert bulk_rules.change(seen, "owner", "FIRST_TALKER", **more).published == len(clients)
        return len(queries) / len(clients)

    assert count_queries(three) <= 26
    assert count_queries([add(f"shop-{number}") for number in range(20)]) <= 26


def test_bulk_rule_change_without_effect_offers_only_cancel(client, three):
    publish_rules_for_all(popup_incoming="OFF")
    data = {"clients": _pks(three), "rule": "popup_incoming"}
    assert client.post(RULE, data, headers=ENGLISH).context["chosen"] == 3
    response = client.post(RULE, data | {"value": "OFF", "why": "a reason"}, headers=ENGLISH)
    assert (response.context["is_vain"], response.context["chosen"]) == (True, 3)
    form = response.content.decode().split('class="admin-confirm"')[1].split("</form>")[0]
    assert f'href="{LIST}"' in form
    assert "<button" not in form
    assert "<select" not in form


OMSK_LISTS = ["telephony_call", "telephony_notification", "crm_command", "crm_popup", "tenants_auditlogentry"]
# Paginated by keyset, and never counted.
UNCOUNTED = ["telephony_call", "telephony_notification", "crm_popup"]


@pytest.fixture
def omsk(noon, db):
    """A client in another time zone, with a row of each kind, one hour ago."""
    tenant = add("omsk", has_event=False, time_zone="Asia/Omsk")
    at = NOON - timedelta(hours=1)
    Call.objects.create(
        tenant=tenant, session_id=1, state="READY", started_at=at, ended_at=at, retry_window_started_at=at
    )
    Notification.objects.create(tenant=tenant, received_at=at, digest="x", event="waiting")
    Command.objects.create(tenant=tenant, kind="SET_STATUS", received_at=at, status="dinner")
    ivan = Employee.objects.create(tenant=tenant, uis_id=1, full_name="Ivan")
    Popup.objects.create(
        tenant=tenant, session_id=1, employee=ivan, ringing_at=at, received_at=at, sent_at=at, hangup="no answered"
    )
    audit.log(tenant, AuditLogEntry.Action.PAUSED, now=at)
    return tenant


@pytest.mark.parametrize("name", OMSK_LISTS)
def test_rows_show_tenant_local_time(client, operator, omsk, name):
    listed = client.get(reverse(f"admin:{name}_changelist"), headers=RUSSIAN)
    text = html_text.text(listed)
    assert "14:00" in text
    assert "11:00" not in text
    assert "8:00" not in text
    paginator = re.search(r'<p class="paginator">(.*?)</p>', listed.content.decode(), re.DOTALL)
    assert (re.findall(r"\d+", paginator[1]) if paginator else []) == ([] if name in UNCOUNTED else ["1"])
    (page,) = set(re.findall(rf"/admin/{name.replace('_', '/')}/\d+/change/", listed.content.decode()))
    whole = html_text.text(client.get(page, headers=RUSSIAN))
    assert "24 ноября 2026, 14:00 (Asia/Omsk)" in whole


@pytest.mark.parametrize("name", UNCOUNTED)
def test_keyset_lists_ignore_other_orderings(client, operator, omsk, name):
    cl = client.get(reverse(f"admin:{name}_changelist"), {"o": "2"}).context["cl"]
    assert [field.removesuffix("_at") for field in cl.queryset.query.order_by] in (
        *(["-started", "-pk"], ["-received", "-pk"]),
    )


@pytest.mark.parametrize("name", [*UNCOUNTED, "telephony_accesslogentry"])
def test_keyset_pagination_moves_both_ways(client, operator, omsk, name, monkeypatch):
    monkeypatch.setattr(ReadOnlyAdmin, "list_per_page", 2)
    moments = [NOON - timedelta(minutes=number) for number in range(4)]
    call, person = Call.objects.get(), Employee.objects.get()
    for number, at in enumerate(moments):
        times = {"ringing_at": at, "received_at": at, "sent_at": at}
        Call.objects.create(tenant=omsk, session_id=10 + number, started_at=at, ended_at=at, retry_window_started_at=at)
        Notification.objects.create(tenant=omsk, received_at=at, digest=f"{number}")
        Popup.objects.create(tenant=omsk, session_id=10 + number, employee=person, **times)
        AccessLogEntry.objects.create(tenant=omsk, call=call, at=at, last_at=at)
    url, query, pages = reverse(f"admin:{name}_changelist"), "", []
    for way in ("older", "newer", "newer"):
        cl = client.get(url + query).context["cl"]
        pages.append([getattr(row, cl.model_admin.keyset_field) for row in cl.result_list])
        query = getattr(cl, way)
    assert pages == [moments[:2], moments[2:], moments[:2]]
    assert query is None


@pytest.mark.parametrize("name", [name for name in OMSK_LISTS if name not in UNCOUNTED])
def test_lists_sort_by_time(client, operator, omsk, name):
    url = reverse(f"admin:{name}_changelist")
    column = 1 if client.get(url).context["cl"].list_display[0] == "action_checkbox" else 0
    for order in (f"{column}", f"-{column}"):
        response = client.get(url, {"o": order})
        assert response.status_code == 200
        field = response.context["cl"].queryset.query.order_by[0]
        assert field.endswith("at")
        assert field.startswith("-") == order.startswith("-")


def test_tenant_page_shows_tenant_local_time(client, operator, omsk):
    omsk.crm.suspend("key", "no", now=NOON)
    UisConnection.objects.update(synced_at=NOON - timedelta(days=1))
    page = client.get(reverse("admin:tenants_tenant_change", args=[omsk.pk]), headers=RUSSIAN)
    text = html_text.text(page)
    assert "24 ноября 2026, 15:00 (Asia/Omsk)" in text
    assert "23 ноября 2026, 15:00 (Asia/Omsk)" in text
    assert "г.." not in text


@pytest.mark.parametrize(
    ("name", "label", "code"),
    [
        ("crm_popup", lambda: str(Popup.Hangup("no answered").label), "no answered"),
        ("crm_command", lambda: crm_status("dinner"), "dinner"),
        ("telephony_notification", lambda: status.event_label("waiting"), ">waiting<"),
    ],
)
def test_codes_are_shown_as_labels(client, operator, omsk, name, label, code):
    html = client.get(reverse(f"admin:{name}_changelist"), headers=RUSSIAN).content.decode()
    with translation.override("ru"):
        assert label() in html
    assert code not in html


def test_notifications_are_filtered_by_event(client, operator, omsk):
    url = reverse("admin:telephony_notification_changelist")
    with translation.override("ru"):
        assert status.event_label("waiting") in html_text.text(client.get(url, headers=RUSSIAN))
    assert len(client.get(url, {"event": "waiting"}).context["cl"].result_list) == 1
    assert len(client.get(url, {"event": "call_end"}).context["cl"].result_list) == 0


def test_rules_and_audit_log_show_status_labels(client, operator, three):
    data = {"clients": _pks(three), "rule": "status_busy"}
    with translation.override("ru"):
        busy, away = uis_status("do_not_disturb"), uis_status("not_at_work")
    assert busy in html_text.text(client.post(RULE, data, headers=RUSSIAN))
    preview = client.post(RULE, data | {"value": "not_at_work", "why": "a reason"}, headers=RUSSIAN)
    assert f"one {busy} {away}" in html_text.text(preview)
    page = client.get(reverse("admin:tenants_tenant_change", args=[three[0].pk]), headers=RUSSIAN)
    assert f'<option value="do_not_disturb" selected>{busy}</option>' in page.content.decode()
    client.post(RULE, html_text.fields(preview.content.decode()) | {"confirm": "yes"})
    assert f"{busy} {away}" in html_text.text(client.get("/admin/tenants/auditlogentry/", headers=RUSSIAN))


@pytest.mark.slow
def test_pages_have_titles_of_their_own(client, operator, omsk):
    def title(url):
        return re.search("<title>(.*?) [|]", client.get(url, headers=RUSSIAN).content.decode())[1]

    with translation.override("ru"):
        assert title(LIST) == capfirst(Tenant._meta.verbose_name_plural)
        assert title("/admin/telephony/call/") == capfirst(Call._meta.verbose_name_plural)
        call = f"{capfirst(Call._meta.verbose_name)} 1"
        assert title(f"/admin/telephony/call/{Call.objects.get().pk}/change/") == call
    assert title(f"{LIST}{omsk.pk}/change/") == "omsk"
    assert title(f"{LIST}add/") not in {"", title(LIST)}


def test_call_page_shows_the_crm_manager_if_known(client, operator, omsk):
    url = f"/admin/telephony/call/{Call.objects.get().pk}/change/"
    before = client.get(url, headers=ENGLISH).context["details"]
    Call.objects.update(crm_user_id=2701)
    response = client.get(url, headers=ENGLISH)
    assert [value for _name, value in response.context["details"] if value not in dict(before).values()] == ["2701"]
    assert "<dd>2701</dd>" in response.content.decode()


def test_business_hours_inputs_are_plain_times(client, operator, omsk):
    html = client.get(f"{LIST}{omsk.pk}/change/", headers=ENGLISH).content.decode()
    assert re.search(r'<input type="time" name="opens_at" value="09:00"', html)
    assert 'id="id_opens_at_helptext"' in html
    assert "vTimeField" not in html


def test_403_uses_our_template(client, support):
    response = client.get(f"{LIST}add/", headers=ENGLISH)
    assert response.status_code == 403
    assert "403.html" in [template.name for template in response.templates]
