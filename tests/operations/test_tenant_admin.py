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
from connector_project.core.check_results import CheckResult, Responsible
from connector_project.operations import tasks as operations_tasks
from connector_project.operations.admin import bulk_rule_change
from connector_project.operations.admin.audit_log import actor as done_by
from connector_project.operations.alerts import incident_texts
from connector_project.operations.checks import runner
from connector_project.operations.explain.labels import hangup
from connector_project.operations.models import Activation, Incident
from crm import integration_module
from crm.models import Command, Popup
from telephony.models import AccessLogEntry, Call, Notification
from telephony.webhooks import status
from tenants import audit
from tenants.models import (
    AccessError,
    AuditLogEntry,
    CheckRun,
    CrmConnection,
    Employee,
    Tenant,
    TransferRules,
    UisConnection,
    User,
    VirtualNumber,
)
from tenants.status_labels import crm_status, uis_status
from tests import html_text
from tests.conftest import IVAN
from tests.users import enlist

pytestmark = pytest.mark.sql

ENGLISH, RUSSIAN = {"accept-language": "en"}, {"accept-language": "ru"}
LIST = "/admin/tenants/tenant/"
RULE = "/admin/tenants/tenant/bulk-rule-change/"
NOON = datetime.fromisoformat("2026-11-24T12:00:00+03:00")  # a Tuesday


@pytest.fixture
def operator(client, db):
    user = enlist("olga", "Operator")
    client.force_login(user)
    return user


@pytest.fixture
def support(client, db):
    user = enlist("sveta", "Support")
    client.force_login(user)
    return user


@pytest.fixture
def noon():
    with time_machine.travel(NOON, tick=False):
        yield NOON


def add(name, *, activated=True, heard=True, **values):
    now = timezone.now()
    tenant = Tenant.objects.create(
        name=name, slug=name, activated_at=now - timedelta(days=9) if activated else None, **values
    )
    UisConnection.objects.create(tenant=tenant, access_token=f"key-of-{name}-0123456789")
    CrmConnection.objects.create(tenant=tenant, address=f"https://{name}.retailcrm.ru")
    TransferRules.objects.create(tenant=tenant)
    if heard:
        Notification.objects.create(tenant=tenant, received_at=now - timedelta(minutes=5), digest=name)
    return tenant


@pytest.fixture
def everyone(noon, db):
    """One client of each kind."""
    add("a-active")
    add("b-left", offboarded_at=NOON)
    add("c-paused", is_paused=True)
    add("d-new", activated=False)
    failing = add("e-failing")
    stored = [{"check": "UIS_EMPLOYEES", "ok": False, "about": {"count": "0"}}]
    CheckRun.objects.create(tenant=failing, failed_count=1, results=stored, checked_at=NOON)
    stopped = add("f-stopped", activated=False)
    Activation.objects.create(tenant=stopped, state="FAILED", step="UIS", started_at=NOON, code="UIS_KEY")
    add("g-silent", heard=False)
    add("h-denied").uis.suspend("ip_not_whitelisted", "no", now=NOON)
    add("i-refused").crm.suspend("key", "no", now=NOON)
    operations_tasks.evaluate_alerts()


def names(answer):
    return re.findall(r'<th class="field-name"><a[^>]*>([^<]*)</a>', answer.content.decode())


def cells(answer):
    """Return (state, cause, responsible) of each client of the list, by name."""
    found = {}
    for row in re.findall(r'<tr>(?:(?!</tr>).)*class="field-name".*?</tr>', answer.content.decode(), re.DOTALL):
        cause, _div, responsible = re.search(r'class="field-cause">(.*?)</td>', row, re.DOTALL)[1].partition("<div")
        found[re.search(r'class="field-name"><a[^>]*>([^<]*)', row)[1]] = (
            re.search(r"admin-state desk-(\w+)", row)[1],
            entities.unescape(cause).strip(),
            responsible,
        )
    return found


def test_clients_with_problems_come_first(client, operator, everyone):
    assert names(client.get(LIST)) == [
        *("h-denied", "i-refused", "g-silent", "f-stopped", "e-failing", "d-new", "c-paused", "a-active", "b-left")
    ]


def test_each_row_says_why_and_who_must_act(client, operator, everyone):
    seen = cells(client.get(LIST, headers=ENGLISH))
    with translation.override("en"):
        silence = incident_texts.message(Incident.objects.get(kind="NO_EVENTS", tenant__name="g-silent"), now=NOON)
        failed_step = CheckResult(runner.CHECKS["UIS_KEY"], ok=False)
        failed_check = CheckResult(runner.CHECKS["UIS_EMPLOYEES"], ok=False, params={"count": "0"})
        expected = {
            "h-denied": ("denied", str(AccessError.ADDRESS_NOT_LISTED.label), Responsible.CLIENT),
            "i-refused": ("denied", str(AccessError.CRM_KEY.label), Responsible.CLIENT),
            "g-silent": ("silent", silence, Responsible.CLIENT),
            "f-stopped": ("stopped", failed_step.message, failed_step.check.responsible),
            "e-failing": ("failing", failed_check.message, failed_check.check.responsible),
        }
        for name, (state, cause, who) in expected.items():
            assert seen[name][:2] == (state, cause)
            assert str(who.label) in seen[name][2]
        for name, state in (("d-new", "not_activated"), ("c-paused", "paused")):
            assert (seen[name][0], bool(seen[name][1])) == (state, True)
            assert str(Responsible.OPERATOR.label) in seen[name][2]


def test_row_counts_todays_calls_and_tells_the_last_event(client, operator, noon):
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
    ("question", "found"),
    [
        ("uis", ["h-denied"]),
        ("crm", ["i-refused"]),
        ("silent", ["g-silent"]),
        ("unlinked", ["a-active"]),
        ("checks", ["e-failing"]),
        ("activation", ["f-stopped", "d-new"]),
        ("calls", ["c-paused"]),
        ("nonsense", None),
    ],
)
def test_questions_are_answered(client, operator, everyone, question, found):
    by_name = {tenant.name: tenant for tenant in Tenant.objects.all()}
    Employee.objects.create(tenant=by_name["a-active"], uis_id=1)
    Employee.objects.create(tenant=by_name["c-paused"], uis_id=1, linked_by="NOT_NEEDED")
    Employee.objects.create(tenant=by_name["d-new"], uis_id=1, is_dismissed=True)
    Employee.objects.create(tenant=by_name["e-failing"], uis_id=1, crm_user_id=5)
    Employee.objects.create(tenant=by_name["b-left"], uis_id=1)
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
    assert names(client.get(LIST, {"wrong": question})) == (found if found is not None else names(client.get(LIST)))


def test_one_state_can_be_asked_for(client, operator, everyone):
    assert names(client.get(LIST, {"state": "DENIED"})) == ["h-denied", "i-refused"]
    assert names(client.get(LIST, {"state": "PAUSED"})) == ["c-paused"]
    assert len(names(client.get(LIST, {"state": "nonsense"}))) == 9


def test_list_can_be_sorted_and_searched(client, operator, everyone):
    assert names(client.get(LIST, {"o": "1"}))[0] == "a-active"
    assert names(client.get(LIST, {"o": "-2"}))[0] == "b-left"
    assert names(client.get(LIST, {"q": "c-paused.retailcrm"})) == ["c-paused"]


def test_list_has_fifty_clients_a_page(client, operator, noon):
    for number in range(53):
        add(f"shop-{number}")
    assert len(names(client.get(LIST))) == 50
    assert len(names(client.get(LIST, {"p": 2}))) == 3
    assert len(names(client.get(LIST, {"all": ""}))) == 50


def _cost(client, where, data=None, **post):
    client.get(where)  # Queries that a process makes once do not count.
    with CaptureQueriesContext(connection) as asked:
        answer = client.post(where, post) if post else client.get(where, data or {})
    assert answer.status_code == 200
    return len(asked)


@pytest.mark.parametrize("question", ["", "silent", "unlinked", "calls"])
def test_list_costs_the_same_for_three_clients_and_for_sixty(client, operator, everyone, question):
    Employee.objects.create(tenant=Tenant.objects.get(name="a-active"), uis_id=1)
    Call.objects.create(
        tenant=Tenant.objects.get(name="a-active"),
        session_id=1,
        state="READY",
        **dict.fromkeys(("started_at", "ended_at", "retry_window_started_at", "failed_at"), NOON),
    )
    few = _cost(client, LIST, {"wrong": question} if question else {})
    for number in range(60):
        tenant = add(f"shop-{number}", heard=bool(number % 2), time_zone=["Asia/Omsk", "Europe/Samara"][number % 2])
        CheckRun.objects.create(tenant=tenant, failed_count=number % 3)
        Employee.objects.create(tenant=tenant, uis_id=1)
    many = _cost(client, LIST, {"wrong": question} if question else {})
    assert many == few <= 13


def test_page_and_journal_cost_the_same_however_much_was_changed(client, operator, tenant):
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
    few = _cost(client, page), _cost(client, whole)
    write(40)
    assert (_cost(client, page), _cost(client, whole)) == few
    assert few[0] <= 30
    assert few[1] <= 12


@pytest.fixture
def send(client, operator, tenant):
    """Change values on the client's page, as a browser would."""
    where = reverse("admin:tenants_tenant_change", args=[tenant.pk])

    def change(**values):
        form = html_text.fields(client.get(where, headers=ENGLISH).content.decode())
        answer = client.post(where, form | values)
        assert answer.status_code == 302, html_text.errors(answer)

    return change


# How the audit log names what a client has once.
CLIENT, UIS, CRM, RULES = (model._meta.model_name for model in (Tenant, UisConnection, CrmConnection, TransferRules))


def told():
    """Return the rows of the audit log."""
    return list(AuditLogEntry.objects.order_by("pk").values_list("action", "object_repr", "field", "old", "new"))


def test_saving_without_a_change_writes_nothing(send, tenant):
    send()
    assert told() == []


def test_values_are_journalled_with_old_and_new(send, tenant):
    Employee.objects.filter(uis_id=IVAN).update(full_name="Ivan", caller_id_number=None)
    number = VirtualNumber.objects.get(number="74950000002")
    row = next(index for index in range(3) if _employee(tenant, index) == IVAN)
    send(
        **{
            "name": "Лютик",
            "opens_at": "10:00:00",
            "uis-0-brand": "comagic",
            "rules-0-popup_incoming": "OFF",
            "rules-0-upload_internal": "on",
            "rules-0-numbers": [str(number.pk)],
            f"employees-{row}-crm_user_id": "29",
            f"employees-{row}-caller_id_number": str(number.pk),
        }
    )
    assert set(told()) == {
        ("CHANGED", CLIENT, "name", "Ромашка", "Лютик"),
        ("CHANGED", CLIENT, "opens_at", "09:00:00", "10:00:00"),
        ("CHANGED", UIS, "brand", "uis", "comagic"),
        ("CHANGED", RULES, "popup_incoming", "ON_RING", "OFF"),
        ("CHANGED", RULES, "upload_internal", "False", "True"),
        ("CHANGED", RULES, "numbers", "", "+74950000002"),
        ("CHANGED", "employee Ivan (101)", "crm_user_id", "27", "29"),
        ("CHANGED", "employee Ivan (101)", "caller_id_number", "", "+74950000002"),
    }
    assert {change.user.username for change in AuditLogEntry.objects.all()} == {"olga"}
    assert {change.tenant_id for change in AuditLogEntry.objects.all()} == {tenant.pk}
    AuditLogEntry.objects.all().delete()
    send(**{"rules-0-numbers": [], f"employees-{row}-caller_id_number": ""})
    assert set(told()) == {
        ("CHANGED", RULES, "numbers", "+74950000002", ""),
        ("CHANGED", "employee Ivan (101)", "caller_id_number", "+74950000002", ""),
    }


def _employee(tenant, index):
    return list(Employee.objects.filter(tenant=tenant).values_list("uis_id", flat=True))[index]


def test_of_keys_only_that_they_were_set(send, tenant):
    send(**{"uis-0-access_token": "a-new-secret-token", "crm-0-key": "a-new-secret-key"})
    assert set(told()) == {
        ("KEY_SET", UIS, "access_token", "", ""),
        ("KEY_SET", CRM, "key", "", ""),
    }


def test_numbers_added_and_removed_are_journalled(send, tenant):
    added = {
        "virtual_numbers-TOTAL_FORMS": "3",
        "virtual_numbers-2-number": "74950000077",
        "virtual_numbers-2-site": "shop",
        "virtual_numbers-2-tenant": str(tenant.pk),
    }
    send(**added)
    assert set(told()) == {
        ("ADDED", "virtualnumber +74950000077", "number", "", "74950000077"),
        ("ADDED", "virtualnumber +74950000077", "site", "", "shop"),
    }
    AuditLogEntry.objects.all().delete()
    send(**{"virtual_numbers-2-DELETE": "on"})
    assert told() == [("REMOVED", "virtualnumber +74950000077", "", "", "")]
    assert not VirtualNumber.objects.filter(number="74950000077").exists()


def test_journal_is_shown_on_the_page_and_whole(client, operator, send, tenant):
    for number in range(22):
        names = {"old": f"Name {number - 1}", "new": f"Name {number}"}
        audit.log(
            tenant, AuditLogEntry.Action.CHANGED, now=timezone.now(), by=operator, part=tenant, field="name", **names
        )
    Tenant.objects.update(name="Name 21")
    send(name="Name 22")
    page = html_text.words(client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH))
    with translation.override("en"):
        change = AuditLogEntry.objects.get(old="Name 21")
        line = audit.render(change)
        assert (line.part, line.field) == (
            capfirst(Tenant._meta.verbose_name),
            str(Tenant._meta.get_field("name").verbose_name),
        )
        assert f"{change.get_action_display()} {line.part} {line.field} Name 21 Name 22" in page
    assert "Name 2 Name 3" in page
    assert "Name 1 Name 2" not in page
    history = client.get(reverse("admin:tenants_tenant_history", args=[tenant.pk]))
    assert history.url == f"/admin/tenants/auditlogentry/?tenant__id__exact={tenant.pk}"
    whole = html_text.words(client.get(history.url, headers=ENGLISH))
    assert "Name 1 Name 2" in whole
    assert "olga" in whole


def test_journal_can_neither_be_written_nor_torn_out(client, operator, tenant):
    audit.log(tenant, AuditLogEntry.Action.PAUSED, now=timezone.now(), by=operator)
    row = AuditLogEntry.objects.get()
    assert client.get("/admin/tenants/auditlogentry/add/").status_code == 403
    assert client.post(f"/admin/tenants/auditlogentry/{row.pk}/delete/").status_code == 403
    assert client.post(f"/admin/tenants/auditlogentry/{row.pk}/change/", {"action": "LEFT"}).status_code == 403
    assert client.get(f"/admin/tenants/auditlogentry/{row.pk}/change/").status_code == 200


def test_row_of_the_client_and_row_of_nobody_are_told_apart(client, operator, tenant):
    audit.log(tenant, AuditLogEntry.Action.ACTIVATED, now=timezone.now(), by_client=True)
    audit.log(
        tenant, AuditLogEntry.Action.CONNECTED, now=timezone.now(), target="odd part", field="x", old="1", new="2"
    )
    text = html_text.words(client.get("/admin/tenants/auditlogentry/", headers=ENGLISH))
    with translation.override("en"):
        activated, connected = AuditLogEntry.objects.order_by("pk")
        assert done_by(activated) != done_by(connected)
        assert f"{done_by(activated)} {activated.get_action_display()}" in text
        assert f"{done_by(connected)} {connected.get_action_display()} odd part x 1 2" in text


def test_new_client_needs_a_name_and_gets_a_link(client, operator, db):
    where = reverse("admin:tenants_tenant_add")
    form = html_text.fields(client.get(where).content.decode())
    assert not [name for name in form if name.startswith(("rules", "employees", "slug", "works"))]
    answer = client.post(where, form | {"name": "Ромашка", "language": "ru", "uis-0-brand": "uis"}, follow=True)
    tenant = Tenant.objects.get()
    assert answer.redirect_chain[-1][0] == reverse("admin:tenants_tenant_change", args=[tenant.pk])
    assert integration_module.activation_url(tenant) in "".join(str(message) for message in answer.context["messages"])
    assert tenant.activation_expires_at > timezone.now() + timedelta(days=13)
    assert (tenant.slug, tenant.uis.brand, tenant.crm.address, tenant.rules.upload_missed) == (
        "romashka",
        "uis",
        "",
        True,
    )
    assert tenant.activation_token not in client.get(answer.redirect_chain[-1][0]).content.decode()
    assert ("ADDED", CLIENT, "name", "", "Ромашка") in told()
    second = client.post(where, form | {"name": "Роза", "language": "ru", "uis-0-brand": "uis", "_addanother": "1"})
    assert second.url == where
    assert set(Tenant.objects.values_list("slug", flat=True)) == {"romashka", "roza"}


def test_slip_of_the_hand_may_be_taken_back_but_no_live_client(client, operator, tenant):
    slip = add("slip", activated=False, heard=False)
    assert client.post(f"/admin/tenants/tenant/{tenant.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"/admin/tenants/tenant/{slip.pk}/delete/", {"post": "yes"}).status_code == 302
    assert list(Tenant.objects.all()) == [tenant]
    row = AuditLogEntry.objects.get()
    assert (row.action, row.tenant_id, row.tenant_name) == ("REMOVED", None, "slip")
    assert "delete_selected" not in client.get(LIST).content.decode()


def test_support_sees_how_a_client_is_but_no_key_and_no_button(client, support, tenant):
    page = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH)
    html = page.content.decode()
    for secret in (tenant.uis.access_token, tenant.crm.key, tenant.crm.client_id, tenant.uis.hook):
        assert secret not in html
    assert tenant.activation_token not in html
    assert f"…{tenant.crm.key[-4:]}" in html
    assert "/press/" not in html
    assert '<span class="admin-state desk-' in html
    assert "change_one_rule" not in client.get(LIST).content.decode()
    assert client.get("/admin/tenants/auditlogentry/").status_code == 200
    assert client.get("/admin/tenants/tenant/add/").status_code == 403
    assert client.post(RULE, {"clients": str(tenant.pk), "rule": "owner"}).status_code == 403
    pressed = client.post(LIST, {"action": "change_one_rule", "_selected_action": [tenant.pk]})
    assert RULE not in pressed.content.decode()


def test_short_key_shows_no_part_of_itself(client, operator, tenant):
    html = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]), headers=ENGLISH).content.decode()
    assert "oken" not in re.sub("csrfmiddlewaretoken|access_token|Broken_Hill", "", html)


def test_operator_may_do_everything_of_ours_and_support_only_look(operator, support):
    ours = ("tenants", "telephony", "crm", "connector")
    asked = {
        f"{label}.{action}_{model}"
        for label, model in (("tenants", "change"), ("tenants", "check_run"), ("crm", "activation"), ("crm", "stray"))
        for action in ("add", "change", "delete", "view")
    }
    assert asked <= operator.get_all_permissions()
    held = support.get_all_permissions()
    assert {name for name in held if not name.split(".")[1].startswith("view_")} == {
        "telephony.change_call",
        "telephony.play_recording",
        "operations.acknowledge_incident",
    }
    assert {name.split(".")[0] for name in held} <= set(ours)


@pytest.fixture
def three(operator, db):
    clients = [add(name) for name in ("one", "two", "three")]
    TransferRules.objects.filter(tenant=clients[2]).update(popup_incoming="OFF")
    return clients


def _of(clients):
    return ",".join(str(tenant.pk) for tenant in clients)


def test_one_rule_is_changed_for_many_after_a_look(client, three):
    stranger = add("four")
    chosen = {"action": "change_one_rule", "_selected_action": [tenant.pk for tenant in three]}
    first = html_text.fields(client.post(LIST, chosen, headers=ENGLISH).content.decode())
    assert sorted(first["clients"].split(",")) == sorted(_of(three).split(","))
    second = client.post(RULE, first | {"rule": "popup_incoming"}, headers=ENGLISH)
    with translation.override("en"):
        assert capfirst(str(bulk_rule_change.RULES["popup_incoming"].verbose_name)) in html_text.words(second)
    form = html_text.fields(second.content.decode()) | {"value": "OFF"}
    preview = client.post(RULE, form, headers=ENGLISH)
    with translation.override("en"):
        now, then = (bulk_rule_change.describe_value("popup_incoming", value) for value in ("ON_RING", "OFF"))
    assert f"one {now} {then} two {now} {then}" in html_text.words(preview)
    assert (len(preview.context["lines"]), preview.context["unchanged"]) == (2, 1)
    assert re.search(r'name="confirm" value="yes">[^<]*\b2\b', preview.content.decode())
    assert _popups() == {"one": "ON_RING", "two": "ON_RING", "three": "OFF", "four": "ON_RING"}
    assert told() == []
    done = client.post(
        RULE,
        html_text.fields(preview.content.decode()) | {"value": "OFF", "confirm": "yes"},
        follow=True,
        headers=ENGLISH,
    )
    assert done.redirect_chain[-1][0] == LIST
    [message] = done.context["messages"]
    assert (message.level_tag, re.findall(r"\d+", str(message))) == ("success", ["2"])
    assert _popups() == {"one": "OFF", "two": "OFF", "three": "OFF", "four": "ON_RING"}
    assert told() == [("CHANGED", RULES, "popup_incoming", "ON_RING", "OFF")] * 2
    assert {change.tenant.name for change in AuditLogEntry.objects.all()} == {"one", "two"}
    assert not AuditLogEntry.objects.filter(tenant=stranger).exists()


def _popups():
    return dict(TransferRules.objects.values_list("tenant__name", "popup_incoming"))


def test_all_clients_of_the_list_can_be_selected(client, operator, noon):
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
def test_each_kind_of_rule_can_be_changed(client, three, rule, value, stored):
    client.post(RULE, {"clients": _of(three), "rule": rule, "value": value, "confirm": "yes"})
    assert set(TransferRules.objects.values_list(rule, flat=True)) == {stored}
    assert AuditLogEntry.objects.count() == 3
    client.post(RULE, {"clients": _of(three), "rule": rule, "value": value, "confirm": "yes"})
    assert AuditLogEntry.objects.count() == 3


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
def test_impossible_value_and_clients_own_lists_are_refused(client, three, rule, value):
    before = list(TransferRules.objects.order_by("pk").values())
    answer = client.post(RULE, {"clients": _of(three), "rule": rule, "value": value, "confirm": "yes"})
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert list(TransferRules.objects.order_by("pk").values()) == before
    assert told() == []


@pytest.mark.parametrize("clients", ["", "x", "1;2", "9" * 40, "1,"])
def test_garbled_choice_of_clients_leads_back(client, operator, clients):
    assert client.post(RULE, {"clients": clients, "rule": "owner"}).url == LIST
    assert client.get(RULE).url == LIST


def test_preview_costs_the_same_for_three_clients_and_for_sixty(client, three):
    few = _cost(client, RULE, clients=_of(three), rule="owner", value="FIRST_TALKER")
    many = [add(f"shop-{number}") for number in range(60)]
    assert _cost(client, RULE, clients=_of(many), rule="owner", value="FIRST_TALKER") == few <= 6


def test_change_of_many_costs_the_same_for_three_clients_and_for_sixty(operator, three):
    def cost(clients):
        with CaptureQueriesContext(connection) as asked:
            bulk_rule_change.change(
                [one.pk for one in clients], "owner", "FIRST_TALKER", by=operator, now=timezone.now()
            )
        return len(asked)

    few = cost(three)
    assert cost([add(f"shop-{number}") for number in range(60)]) == few


def test_change_that_changes_nothing_offers_only_the_way_back(client, three):
    TransferRules.objects.update(popup_incoming="OFF")
    asked = {"clients": _of(three), "rule": "popup_incoming"}
    assert client.post(RULE, asked, headers=ENGLISH).context["chosen"] == 3
    answer = client.post(RULE, asked | {"value": "OFF"}, headers=ENGLISH)
    assert (answer.context["is_vain"], answer.context["chosen"]) == (True, 3)
    form = answer.content.decode().split('class="admin-confirm"')[1].split("</form>")[0]
    assert f'href="{LIST}"' in form
    assert "<button" not in form
    assert "<select" not in form


OMSK_LISTS = ["telephony_call", "telephony_notification", "crm_command", "crm_popup", "tenants_auditlogentry"]
# Paginated by keyset, and never counted.
UNCOUNTED = ["telephony_call", "telephony_notification", "crm_popup"]


@pytest.fixture
def omsk(noon, db):
    """A client in another time zone, with a row of each kind, one hour ago."""
    tenant = add("omsk", heard=False, time_zone="Asia/Omsk")
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
def test_rows_tell_the_clients_time(client, operator, omsk, name):
    listed = client.get(reverse(f"admin:{name}_changelist"), headers=RUSSIAN)
    text = html_text.words(listed)
    assert "14:00" in text
    assert "11:00" not in text
    assert "8:00" not in text
    paginator = re.search(r'<p class="paginator">(.*?)</p>', listed.content.decode(), re.DOTALL)
    assert (re.findall(r"\d+", paginator[1]) if paginator else []) == ([] if name in UNCOUNTED else ["1"])
    (page,) = set(re.findall(rf"/admin/{name.replace('_', '/')}/\d+/change/", listed.content.decode()))
    whole = html_text.words(client.get(page, headers=RUSSIAN))
    assert "24 ноября 2026, 14:00 (Asia/Omsk)" in whole


@pytest.mark.parametrize("name", UNCOUNTED)
def test_lists_of_millions_are_read_by_the_moment_alone(client, operator, omsk, name):
    cl = client.get(reverse(f"admin:{name}_changelist"), {"o": "2"}).context["cl"]
    assert [field.removesuffix("_at") for field in cl.queryset.query.order_by] in (
        *(["-started", "-pk"], ["-received", "-pk"]),
    )


@pytest.mark.parametrize("name", [*UNCOUNTED, "telephony_accesslogentry"])
def test_pages_by_cursor_lead_to_the_older_and_back_to_the_newer(client, operator, omsk, name, monkeypatch):
    monkeypatch.setattr(ReadOnlyAdmin, "list_per_page", 2)
    moments = [NOON - timedelta(minutes=number) for number in range(4)]
    call, person = Call.objects.get(), Employee.objects.get()
    for number, at in enumerate(moments):
        times = {"ringing_at": at, "received_at": at, "sent_at": at}
        Call.objects.create(tenant=omsk, session_id=10 + number, started_at=at, ended_at=at, retry_window_started_at=at)
        Notification.objects.create(tenant=omsk, received_at=at, digest=f"{number}")
        Popup.objects.create(tenant=omsk, session_id=10 + number, employee=person, **times)
        AccessLogEntry.objects.create(tenant=omsk, call=call, at=at, last_at=at)
    where, query, pages = reverse(f"admin:{name}_changelist"), "", []
    for way in ("older", "newer", "newer"):
        cl = client.get(where + query).context["cl"]
        pages.append([getattr(row, cl.model_admin.keyset_field) for row in cl.result_list])
        query = getattr(cl, way)
    assert pages == [moments[:2], moments[2:], moments[:2]]
    assert query is None


@pytest.mark.parametrize("name", [name for name in OMSK_LISTS if name not in UNCOUNTED])
def test_lists_are_sorted_by_the_moment(client, operator, omsk, name):
    where = reverse(f"admin:{name}_changelist")
    column = 1 if client.get(where).context["cl"].list_display[0] == "action_checkbox" else 0
    for order in (f"{column}", f"-{column}"):
        answer = client.get(where, {"o": order})
        assert answer.status_code == 200
        field = answer.context["cl"].queryset.query.order_by[0]
        assert field.endswith("at")
        assert field.startswith("-") == order.startswith("-")


def test_clients_page_tells_its_moments_by_the_clients_clock(client, operator, omsk):
    omsk.crm.suspend("key", "no", now=NOON)
    UisConnection.objects.update(synced_at=NOON - timedelta(days=1))
    page = client.get(reverse("admin:tenants_tenant_change", args=[omsk.pk]), headers=RUSSIAN)
    text = html_text.words(page)
    assert "24 ноября 2026, 15:00 (Asia/Omsk)" in text
    assert "23 ноября 2026, 15:00 (Asia/Omsk)" in text
    assert "г.." not in text


@pytest.mark.parametrize(
    ("name", "label", "code"),
    [
        ("crm_popup", lambda: hangup("no answered"), "no answered"),
        ("crm_command", lambda: crm_status("dinner"), "dinner"),
        ("telephony_notification", lambda: status.event_word("waiting"), ">waiting<"),
    ],
)
def test_codes_are_shown_as_labels(client, operator, omsk, name, label, code):
    html = client.get(reverse(f"admin:{name}_changelist"), headers=RUSSIAN).content.decode()
    with translation.override("ru"):
        assert label() in html
    assert code not in html


def test_events_are_filtered_by_their_names(client, operator, omsk):
    where = reverse("admin:telephony_notification_changelist")
    with translation.override("ru"):
        assert status.event_word("waiting") in html_text.words(client.get(where, headers=RUSSIAN))
    assert len(client.get(where, {"event": "waiting"}).context["cl"].result_list) == 1
    assert len(client.get(where, {"event": "call_end"}).context["cl"].result_list) == 0


def test_statuses_of_the_rules_and_of_the_audit_log_are_labels(client, operator, three):
    asked = {"clients": _of(three), "rule": "status_busy"}
    with translation.override("ru"):
        busy, away = uis_status("do_not_disturb"), uis_status("not_at_work")
    assert busy in html_text.words(client.post(RULE, asked, headers=RUSSIAN))
    preview = html_text.words(client.post(RULE, asked | {"value": "not_at_work"}, headers=RUSSIAN))
    assert f"one {busy} {away}" in preview
    page = client.get(reverse("admin:tenants_tenant_change", args=[three[0].pk]), headers=RUSSIAN)
    assert f'<option value="do_not_disturb" selected>{busy}</option>' in page.content.decode()
    client.post(RULE, asked | {"value": "not_at_work", "confirm": "yes"})
    assert f"{busy} {away}" in html_text.words(client.get("/admin/tenants/auditlogentry/", headers=RUSSIAN))


def test_pages_have_titles_of_their_own(client, operator, omsk):
    def title(where):
        return re.search("<title>(.*?) [|]", client.get(where, headers=RUSSIAN).content.decode())[1]

    with translation.override("ru"):
        assert title(LIST) == capfirst(Tenant._meta.verbose_name_plural)
        assert title("/admin/telephony/call/") == capfirst(Call._meta.verbose_name_plural)
        call = f"{capfirst(Call._meta.verbose_name)} 1"
        assert title(f"/admin/telephony/call/{Call.objects.get().pk}/change/") == call
    assert title(f"{LIST}{omsk.pk}/change/") == "omsk"
    assert title(f"{LIST}add/") not in {"", title(LIST)}


def test_manager_named_by_the_crm_is_shown_where_there_is_one(client, operator, omsk):
    where = f"/admin/telephony/call/{Call.objects.get().pk}/change/"
    before = client.get(where, headers=ENGLISH).context["page"].facts
    Call.objects.update(crm_user_id=2701)
    answer = client.get(where, headers=ENGLISH)
    assert [value for _name, value in answer.context["page"].facts if value not in dict(before).values()] == ["2701"]
    assert "<dd>2701</dd>" in answer.content.decode()


def test_hours_are_typed_by_the_clients_zone(client, operator, omsk):
    html = client.get(f"{LIST}{omsk.pk}/change/", headers=ENGLISH).content.decode()
    assert re.search(r'<input type="time" name="opens_at" value="09:00"', html)
    assert 'id="id_works_from_helptext"' in html
    assert "vTimeField" not in html


def test_user_without_permission_sees_our_page(client, support):
    answer = client.get(f"{LIST}add/", headers=ENGLISH)
    assert answer.status_code == 403
    assert "403.html" in [template.name for template in answer.templates]
