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
from tenants import audit
from tenants.models import AuditLogEntry, CrmConnection, Tenant, TransferRules, UisConnection
from tests import html_text, task_queue
from tests.fakes.alert_receiver import SECRET, URL
from tests.users import enlist

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
    user = enlist(group.lower(), group)
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
    TransferRules.objects.create(tenant=tenant)
    return tenant


def incident(tenant, kind="ACCESS_DENIED", cause="crm:key", *, state=State.OPEN, ago=1, **about):
    at = timezone.now() - timedelta(hours=ago)
    about = about or {"side": "crm", "code": "key", "since": at.isoformat()}
    return Incident.objects.create(
        tenant=tenant,
        kind=kind,
        reason=cause,
        state=state,
        context=about,
        opened_at=at,
        last_seen_at=at,
        notified_at=at,
    )


@pytest.fixture
def several(shop):
    """One of each state, and one of the whole service, the oldest first."""
    incident(shop, cause="crm:a", state=State.OPEN, ago=4)
    incident(shop, cause="crm:b", state=State.RESOLVED, ago=1)
    incident(shop, cause="crm:c", state=State.MUTED, ago=1)
    incident(shop, cause="crm:d", state=State.ACKNOWLEDGED, ago=1)
    incident(None, "WORKER", "NO_BEAT:fast", ago=6, queue="fast", since=(NOON - timedelta(hours=6)).isoformat())


def act(client, name, row, note=""):
    where = reverse("admin:operations_incident_action", args=[row.pk, name])
    return client.post(where, {"note": note}, follow=True, headers=ENGLISH)


def levels(answer):
    return [message.level_tag for message in answer.context["messages"]]


def counts(answer):
    """Return the numbers that the messages name."""
    return re.findall(r"\d+", " ".join(str(message) for message in answer.context["messages"]))


def offered(answer):
    """Return the names of the buttons of an incident's page."""
    return re.findall(r'formaction="[^"]*/act/(\w+)/"', answer.content.decode())


def table(answer):
    """Return the text of each row of the list."""
    rows = re.findall(r"<tr>.*?</tr>", answer.content.decode().partition("<tbody>")[2], re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]


def test_open_ones_stand_on_top_and_of_them_those_of_the_whole(client, operator, several):
    answer = client.get(LIST, headers=ENGLISH)
    rows = re.findall(r'admin-state desk-(\w+)"', answer.content.decode())
    assert rows == ["open", "open", "taken", "ignored", "resolved"]
    whole = Incident.objects.get(tenant=None)
    with translation.override("en"):
        assert f"{texts.subject_name(whole)} {whole.get_kind_display()}" in table(answer)[0]
    assert ["Daisy" in row for row in table(answer)] == [False, True, True, True, True]


def test_row_says_what_whom_since_when_and_who_must_act(client, operator, several):
    rows = [table(client.get(LIST, headers=ENGLISH))[0]]
    rows += table(client.get(LIST, {"state__exact": "TAKEN"}, headers=ENGLISH))
    shown = [Incident.objects.get(tenant=None), Incident.objects.get(state="TAKEN")]
    with translation.override("en"):
        for row, one in zip(rows, shown, strict=True):
            head, text = f"{texts.subject_name(one)} {one.get_kind_display()}", texts.message(one, now=NOON)
            before, _text, after = row.partition(text)
            assert before.strip().endswith(head)
            assert str(texts.responsible(one).label) in after
    assert [re.findall(r"\d+:\d+", row) for row in rows] == [["3:00"] * 3, ["11:00"] * 3]


@pytest.mark.parametrize(
    ("query", "count"),
    [({"whole": "yes"}, 1), ({"whole": "no"}, 4), ({"kind__exact": "ACCESS_DENIED"}, 4), ({"state__exact": "OPEN"}, 2)],
)
def test_list_is_filtered(client, operator, several, query, count):
    assert client.get(LIST, query).content.decode().count('class="admin-state') == count


def test_list_costs_the_same_for_few_and_for_many(client, operator, several):
    def cost():
        client.get(LIST)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(LIST).status_code == 200
        return len(asked)

    few = cost()
    for number in range(45):
        tenant = Tenant.objects.create(name=f"shop-{number}", slug=f"shop-{number}")
        row = incident(tenant, "NO_EVENTS", "NO_EVENTS", by="hours", since=None)
        Incident.objects.filter(pk=row.pk).update(acknowledged_by=operator)
    assert cost() == few


def test_page_tells_and_offers_what_can_be_done(client, operator, shop):
    row = incident(shop)
    answer = client.get(reverse("admin:operations_incident_change", args=[row.pk]), headers=ENGLISH)
    words = html_text.words(answer)
    with translation.override("en"):
        assert f"{row.get_kind_display()}: Daisy".lower() in words.lower()
        assert texts.message(row, now=NOON) in words
        assert str(texts.responsible(row).label) in words
    assert offered(answer) == ["take", "resolve", "ignore"]
    answer = act(client, "take", row, note="I have called them")
    assert (levels(answer), counts(answer)) == (["success"], ["1"])
    words = html_text.words(answer)
    assert "11:00" in words
    with translation.override("en"):
        assert f"12:00 operator {AuditLogEntry.Action.ACKNOWLEDGED.label} I have called them" in words
    row.refresh_from_db()
    assert (row.state, row.acknowledged_by, row.note) == (State.ACKNOWLEDGED, operator, "I have called them")


def test_page_costs_the_same_with_a_short_and_a_long_history(client, operator, shop):
    row = incident(shop)
    where = reverse("admin:operations_incident_change", args=[row.pk])

    def cost():
        client.get(where)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(where).status_code == 200
        return len(asked)

    act(client, "take", row)
    few = cost()
    for _time in range(10):
        act(client, "take", row, note="still at it")
    assert cost() == few


def test_resolved_can_be_opened_again_and_ignored_until_it_is_over(client, operator, shop):
    row = incident(shop)
    for name, state in (("resolve", State.RESOLVED), ("reopen", State.OPEN), ("ignore", State.MUTED)):
        assert levels(act(client, name, row)) == ["success"]
        row.refresh_from_db()
        assert row.state == state
    assert list(AuditLogEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        "RESOLVED",
        "REOPENED",
        "IGNORED",
    ]
    assert (row.resolved_at, row.resolved_manually, row.resolution_notified_at) == (None, False, None)


def test_what_somebody_else_did_before_is_said(client, operator, shop):
    row = incident(shop, state=State.RESOLVED)
    assert levels(act(client, "ignore", row)) == ["warning"]
    assert not AuditLogEntry.objects.exists()


def test_many_are_taken_at_once_with_one_note(client, operator, several):
    asked = {
        "action": "take",
        "note": "all of them",
        "_selected_action": list(Incident.objects.values_list("pk", flat=True)),
    }
    answer = client.post(LIST, asked, follow=True, headers=ENGLISH)
    assert (levels(answer), counts(answer)) == (["success"], ["4"])
    assert set(Incident.objects.filter(state=State.ACKNOWLEDGED).values_list("note", flat=True)) == {"all of them"}
    assert AuditLogEntry.objects.count() == 4


def test_many_are_taken_at_once_without_a_note(client, operator, several):
    asked = {"action": "take", "note": "", "_selected_action": list(Incident.objects.values_list("pk", flat=True))}
    client.post(LIST, asked)
    assert list(Incident.objects.filter(state=State.ACKNOWLEDGED).values_list("note", flat=True)) == [""] * 4
    assert AuditLogEntry.objects.filter(action=AuditLogEntry.Action.ACKNOWLEDGED).count() == 4


def test_support_looks_and_takes_and_no_more(client, support, shop):
    row = incident(shop)
    assert offered(client.get(reverse("admin:operations_incident_change", args=[row.pk]), headers=ENGLISH)) == ["take"]
    actions = re.findall(r'<option value="(\w+)"', client.get(LIST, headers=ENGLISH).content.decode())
    assert actions == ["take"]
    assert act(client, "ignore", row).status_code == 403
    assert levels(act(client, "take", row)) == ["success"]
    asked = {"action": "resolve", "_selected_action": [row.pk]}
    client.post(LIST, asked)
    row.refresh_from_db()
    assert (row.state, row.acknowledged_by) == (State.ACKNOWLEDGED, support)


def test_a_look_at_an_address_does_nothing_and_an_unknown_one_is_none(client, operator, shop):
    row = incident(shop)
    assert client.get(reverse("admin:operations_incident_action", args=[row.pk, "resolve"])).status_code == 302
    row.refresh_from_db()
    assert row.state == State.OPEN
    assert client.post(reverse("admin:operations_incident_action", args=[row.pk, "burn"])).status_code == 404
    assert client.post(reverse("admin:operations_incident_action", args=[row.pk + 1, "take"])).status_code == 404


def test_stranger_gets_nowhere(client, shop):
    row = incident(shop)
    for where in (LIST, reverse("admin:operations_incident_change", args=[row.pk])):
        assert client.get(where).status_code == 302
    act(client, "take", row)
    row.refresh_from_db()
    assert row.state == State.OPEN


def test_clients_page_leads_to_his_incidents(client, operator, shop):
    incident(shop)
    incident(shop, cause="crm:b", state=State.MUTED)
    incident(None, "WORKER", "NO_BEAT:fast", queue="fast", since=None)
    html = client.get(reverse("admin:tenants_tenant_change", args=[shop.pk]), headers=ENGLISH).content.decode()
    assert f'<a href="{LIST}?tenant__id__exact={shop.pk}">1</a>' in html


def test_journal_names_the_incident_for_each_reader(client, operator, shop):
    row = incident(shop)
    act(client, "take", row)
    where, names = reverse("admin:tenants_auditlogentry_changelist"), []
    for language in ("en", "ru"):
        words = html_text.words(client.get(where, headers={"accept-language": language}))
        with translation.override(language):
            change = AuditLogEntry.objects.get()
            names.append(audit.render(change).part)
            assert f"{change.get_action_display()} {names[-1]}" in words
    assert [name.endswith(f"#{row.pk}") for name in names] == [True, True]
    assert names[0] != names[1]


@pytest.fixture
def lost(noon, db):
    return AlertDelivery.objects.create(
        channel="WEBHOOK",
        subject="Alarm",
        body="{}",
        state=AlertDelivery.State.FAILED,
        created_at=NOON,
        detail="webhook answered 500.",
    )


def test_message_that_was_given_up_is_sent_again_from_the_admin(client, operator, lost, receiver, settings):
    settings.ALARM_WEBHOOK_URL, settings.ALARM_WEBHOOK_SECRET = URL, SECRET
    where = reverse("admin:operations_alertdelivery_changelist")
    with translation.override("en"):
        failed, sent = (str(state.label) for state in (AlertDelivery.State.FAILED, AlertDelivery.State.SENT))
    assert f"{failed} 0 webhook answered 500." in html_text.words(client.get(where, headers=ENGLISH))
    asked = {"action": "try_again", "_selected_action": [lost.pk]}
    assert counts(client.post(where, asked, follow=True, headers=ENGLISH)) == ["1"]
    task_queue.drain()
    assert list(receiver.messages) == [f"msg_{lost.message_id.hex}"]
    lost.refresh_from_db()
    assert (lost.state, lost.attempts) == ("SENT", 1)
    assert sent in html_text.words(
        client.get(reverse("admin:operations_alertdelivery_change", args=[lost.pk]), headers=ENGLISH)
    )
    assert counts(client.post(where, asked, follow=True, headers=ENGLISH)) == ["0"]


def test_support_sends_nothing_again(client, support, lost):
    where = reverse("admin:operations_alertdelivery_changelist")
    client.post(where, {"action": "try_again", "_selected_action": [lost.pk]})
    lost.refresh_from_db()
    assert lost.state == AlertDelivery.State.FAILED
