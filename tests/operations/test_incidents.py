"""Incidents in the admin: scope, problem, responsible; acknowledged, resolved, muted, opened again."""

import html
import re
from datetime import datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from connector_project.operations.alerts import incident_texts as texts
from connector_project.operations.models import AlertDelivery, Incident
from tenants import audit, rule_versions
from tenants.models import AuditLogEntry, CrmConnection, Tenant, UisConnection
from tests import html_text, task_queue
from tests.fakes.alert_receiver import SECRET, URL
from tests.rules import begin_rules
from tests.users import create_user

pytestmark = pytest.mark.sql

ENGLISH = {"accept-language": "en"}
LIST = "/admin/operations/incident/"
NOON = datetime.fromisoformat("2026-11-24T12:00:00+03:00")
State = Incident.State


@pytest.fixture
def noon():
    with time_machine.travel(NOON, tick=False):
        yield NOON


def login(client, group):
    user = create_user(group.lower(), group)
    client.force_login(user)
    return user


@pytest.fixture
def operator(client, db):
    return login(client, "Operator")


@pytest.fixture
def support(client, db):
    return login(client, "Support")


@pytest.fixture
def shop(noon, db):
    tenant = Tenant.objects.create(name="Daisy", slug="daisy", activated_at=NOON - timedelta(days=9))
    UisConnection.objects.create(tenant=tenant)
    CrmConnection.objects.create(tenant=tenant)
    rule_versions.begin(tenant, {}, now=timezone.now())
    return tenant


def incident(tenant, kind="ACCESS_DENIED", reason="crm:key", *, state=State.OPEN, ago=1, **context):
    at = timezone.now() - timedelta(hours=ago)
    context = context or {"side": "crm", "code": "key", "since": at.isoformat()}
    return Incident.objects.create(
        tenant=tenant,
        kind=kind,
        reason=reason,
        state=state,
        context=context,
        opened_at=at,
        last_seen_at=at,
        notified_at=at,
    )


@pytest.fixture
def several(shop):
    """One incident in each state, and a system-wide one."""
    incident(shop, reason="crm:a", state=State.OPEN, ago=4)
    incident(shop, reason="crm:b", state=State.RESOLVED, ago=1)
    incident(shop, reason="crm:c", state=State.MUTED, ago=1)
    incident(shop, reason="crm:d", state=State.ACKNOWLEDGED, ago=1)
    incident(None, "WORKER", "NO_HEARTBEAT:fast", ago=6, queue="fast", since=(NOON - timedelta(hours=6)).isoformat())


def run_action(client, name, row, note=""):
    url = reverse("admin:operations_incident_action", args=[row.pk, name])
    seen = Incident.objects.get(pk=row.pk).version
    return client.post(url, {"note": note, "seen": seen}, follow=True, headers=ENGLISH)


def test_stale_page_does_not_undo_what_a_colleague_did(client, shop):
    row = incident(shop, reason="crm:a")
    client.force_login(create_user("olga", "Operator"))
    page = client.get(reverse("admin:operations_incident_change", args=[row.pk])).content.decode()
    run_action(client, "mute", row, note="by a colleague")
    url = reverse("admin:operations_incident_action", args=[row.pk, "acknowledge"])
    for sent in ({"seen": html_text.fields(page)["seen"]}, {}, {"seen": "x"}):
        assert message_levels(client.post(url, sent | {"note": "mine"}, follow=True)) == ["warning"]
    row.refresh_from_db()
    assert (row.state, row.note, row.acknowledged_by) == (State.MUTED, "by a colleague", None)
    assert message_levels(run_action(client, "acknowledge", row)) == ["success"]


def message_levels(response):
    return [message.level_tag for message in response.context["messages"]]


def counts(response):
    """Return the numbers that the messages name."""
    return re.findall(r"\d+", " ".join(str(message) for message in response.context["messages"]))


def button_names(response):
    """Return the names of the buttons of an incident's page."""
    return re.findall(r'formaction="[^"]*/action/(\w+)/"', response.content.decode())


def table(response):
    """Return the text of each row of the list."""
    rows = re.findall(r"<tr>.*?</tr>", response.content.decode().partition("<tbody>")[2], re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]


def test_list_shows_open_incidents_first_system_wide_ones_on_top(client, operator, several):
    response = client.get(LIST, headers=ENGLISH)
    rows = re.findall(r'admin-state admin-(\w+)"', response.content.decode())
    assert rows == ["open", "open", "acknowledged", "muted", "resolved"]
    system_wide = Incident.objects.get(tenant=None)
    with translation.override("en"):
        assert f"{texts.subject_name(system_wide)} {system_wide.get_kind_display()}" in table(response)[0]
    assert ["Daisy" in row for row in table(response)] == [False, True, True, True, True]


def test_row_shows_message_scope_times_and_responsible(client, operator, several):
    rows = [table(client.get(LIST, headers=ENGLISH))[0]]
    rows += table(client.get(LIST, {"state__exact": "ACKNOWLEDGED"}, headers=ENGLISH))
    shown = [Incident.objects.get(tenant=None), Incident.objects.get(state="ACKNOWLEDGED")]
    with translation.override("en"):
        for row, incident_row in zip(rows, shown, strict=True):
            head, text = (
                f"{texts.subject_name(incident_row)} {incident_row.get_kind_display()}",
                texts.message(incident_row, now=NOON),
            )
            before, _text, after = row.partition(text)
            assert before.strip().endswith(head)
            assert str(texts.responsible(incident_row).label) in after
    assert [re.findall(r"\d+:\d+", row) for row in rows] == [["3:00"] * 3, ["11:00"] * 3]


@pytest.mark.parametrize(
    ("query", "count"),
    [({"whole": "yes"}, 1), ({"whole": "no"}, 4), ({"kind__exact": "ACCESS_DENIED"}, 4), ({"state__exact": "OPEN"}, 2)],
)
def test_list_is_filtered(client, operator, several, query, count):
    assert client.get(LIST, query).content.decode().count('class="admin-state') == count


@pytest.mark.slow
def test_list_query_count_does_not_grow(client, operator, several):
    def count_queries():
        client.get(LIST)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(LIST).status_code == 200
        return len(queries)

    few = count_queries()
    for number in range(45):
        tenant = begin_rules(Tenant.objects.create(name=f"shop-{number}", slug=f"shop-{number}"))
        row = incident(tenant, "NO_EVENTS", "NO_EVENTS", by="hours", since=None)
        Incident.objects.filter(pk=row.pk).update(acknowledged_by=operator)
    assert count_queries() == few


def test_page_shows_the_incident_and_its_actions(client, operator, shop):
    row = incident(shop)
    response = client.get(reverse("admin:operations_incident_change", args=[row.pk]), headers=ENGLISH)
    text = html_text.text(response)
    with translation.override("en"):
        assert f"{row.get_kind_display()}: Daisy".lower() in text.lower()
        assert texts.message(row, now=NOON) in text
        assert str(texts.responsible(row).label) in text
    assert button_names(response) == ["acknowledge", "resolve", "mute"]
    response = run_action(client, "acknowledge", row, note="I have called them")
    assert (message_levels(response), counts(response)) == (["success"], ["1"])
    text = html_text.text(response)
    assert "11:00" in text
    with translation.override("en"):
        assert f"12:00 operator {AuditLogEntry.Action.ACKNOWLEDGED.label} I have called them" in text
    row.refresh_from_db()
    assert (row.state, row.acknowledged_by, row.note) == (State.ACKNOWLEDGED, operator, "I have called them")


@pytest.mark.slow
def test_page_query_count_does_not_grow_with_history(client, operator, shop):
    row = incident(shop)
    url = reverse("admin:operations_incident_change", args=[row.pk])

    def count_queries():
        client.get(url)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url).status_code == 200
        return len(queries)

    run_action(client, "acknowledge", row)
    few = count_queries()
    for _time in range(10):
        run_action(client, "acknowledge", row, note="in progress")
    assert count_queries() == few


def test_incident_can_be_resolved_reopened_and_muted(client, operator, shop):
    row = incident(shop)
    for name, state in (("resolve", State.RESOLVED), ("reopen", State.OPEN), ("mute", State.MUTED)):
        assert message_levels(run_action(client, name, row)) == ["success"]
        row.refresh_from_db()
        assert row.state == state
    assert list(AuditLogEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        "RESOLVED",
        "REOPENED",
        "MUTED",
    ]
    assert (row.resolved_at, row.resolved_manually, row.resolution_notified_at) == (None, False, None)


def test_action_impossible_in_the_state_warns_and_changes_nothing(client, operator, shop):
    row = incident(shop, state=State.RESOLVED)
    assert message_levels(run_action(client, "mute", row)) == ["warning"]
    assert not AuditLogEntry.objects.exists()


def test_bulk_acknowledge_stores_one_note(client, operator, several):
    data = {
        "action": "acknowledge",
        "note": "all of them",
        "_selected_action": list(Incident.objects.values_list("pk", flat=True)),
    }
    response = client.post(LIST, data, follow=True, headers=ENGLISH)
    assert (message_levels(response), counts(response)) == (["success"], ["4"])
    assert set(Incident.objects.filter(state=State.ACKNOWLEDGED).values_list("note", flat=True)) == {"all of them"}
    assert AuditLogEntry.objects.count() == 4


def test_bulk_acknowledge_without_a_note(client, operator, several):
    data = {
        "action": "acknowledge",
        "note": "",
        "_selected_action": list(Incident.objects.values_list("pk", flat=True)),
    }
    client.post(LIST, data)
    assert list(Incident.objects.filter(state=State.ACKNOWLEDGED).values_list("note", flat=True)) == [""] * 4
    assert AuditLogEntry.objects.filter(action=AuditLogEntry.Action.ACKNOWLEDGED).count() == 4


def test_support_may_view_and_acknowledge_only(client, support, shop):
    row = incident(shop)
    assert button_names(client.get(reverse("admin:operations_incident_change", args=[row.pk]), headers=ENGLISH)) == [
        "acknowledge"
    ]
    actions = re.findall(r'<option value="(\w+)"', client.get(LIST, headers=ENGLISH).content.decode())
    assert actions == ["acknowledge"]
    assert run_action(client, "mute", row).status_code == 403
    assert message_levels(run_action(client, "acknowledge", row)) == ["success"]
    data = {"action": "resolve", "_selected_action": [row.pk]}
    client.post(LIST, data)
    row.refresh_from_db()
    assert (row.state, row.acknowledged_by) == (State.ACKNOWLEDGED, support)


def test_action_url_ignores_get_and_unknown_names(client, operator, shop):
    row = incident(shop)
    assert client.get(reverse("admin:operations_incident_action", args=[row.pk, "resolve"])).status_code == 302
    row.refresh_from_db()
    assert row.state == State.OPEN
    assert client.post(reverse("admin:operations_incident_action", args=[row.pk, "unknown"])).status_code == 404
    assert client.post(reverse("admin:operations_incident_action", args=[row.pk + 1, "acknowledge"])).status_code == 404


def test_anonymous_user_has_no_access(client, shop):
    row = incident(shop)
    for url in (LIST, reverse("admin:operations_incident_change", args=[row.pk])):
        assert client.get(url).status_code == 302
    run_action(client, "acknowledge", row)
    row.refresh_from_db()
    assert row.state == State.OPEN


def test_tenant_page_links_to_its_incidents(client, operator, shop):
    incident(shop)
    incident(shop, reason="crm:b", state=State.MUTED)
    incident(None, "WORKER", "NO_HEARTBEAT:fast", queue="fast", since=None)
    html = client.get(reverse("admin:tenants_tenant_change", args=[shop.pk]), headers=ENGLISH).content.decode()
    assert f'<a href="{LIST}?tenant__id__exact={shop.pk}">1</a>' in html


def test_audit_log_names_the_incident_in_each_language(client, operator, shop):
    row = incident(shop)
    run_action(client, "acknowledge", row)
    url, names = reverse("admin:tenants_auditlogentry_changelist"), []
    for language in ("en", "ru"):
        text = html_text.text(client.get(url, headers={"accept-language": language}))
        with translation.override(language):
            entry = AuditLogEntry.objects.get()
            names.append(audit.render(entry).target)
            assert f"{entry.get_action_display()} {names[-1]}" in text
    assert [name.endswith(f"#{row.pk}") for name in names] == [True, True]
    assert names[0] != names[1]


@pytest.fixture
def failed_delivery(noon, db):
    return AlertDelivery.objects.create(
        channel="WEBHOOK",
        subject="Alarm",
        body="{}",
        state=AlertDelivery.State.FAILED,
        created_at=NOON,
        detail="webhook answered 500.",
    )


def test_failed_alert_delivery_can_be_retried(client, operator, failed_delivery, receiver, settings):
    settings.ALARM_WEBHOOK_URL, settings.ALARM_WEBHOOK_SECRET = URL, SECRET
    url = reverse("admin:operations_alertdelivery_changelist")
    with translation.override("en"):
        failed, sent = (str(state.label) for state in (AlertDelivery.State.FAILED, AlertDelivery.State.SENT))
    assert f"{failed} 0 webhook answered 500." in html_text.text(client.get(url, headers=ENGLISH))
    data = {"action": "retry", "_selected_action": [failed_delivery.pk]}
    assert counts(client.post(url, data, follow=True, headers=ENGLISH)) == ["1"]
    task_queue.drain()
    assert list(receiver.messages) == [f"msg_{failed_delivery.message_id.hex}"]
    failed_delivery.refresh_from_db()
    assert (failed_delivery.state, failed_delivery.attempts) == ("SENT", 1)
    assert sent in html_text.text(
        client.get(reverse("admin:operations_alertdelivery_change", args=[failed_delivery.pk]), headers=ENGLISH)
    )
    assert counts(client.post(url, data, follow=True, headers=ENGLISH)) == ["0"]


def test_support_may_not_retry_deliveries(client, support, failed_delivery):
    url = reverse("admin:operations_alertdelivery_changelist")
    client.post(url, {"action": "retry", "_selected_action": [failed_delivery.pk]})
    failed_delivery.refresh_from_db()
    assert failed_delivery.state == AlertDelivery.State.FAILED
