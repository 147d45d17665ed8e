"""Incidents in the admin: who is concerned, what is wrong, who must act; taken, resolved, ignored, opened again."""

import re
from datetime import datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connector_project.operations.models import AlertDelivery, Incident
from tenants.models import AuditLogEntry, CrmConnection, Tenant, TransferRules, UisConnection
from tests import html_text, task_queue
from tests.fakes.alert_receiver import SECRET, URL
from tests.users import enlist

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
    """One of each state, and one of the whole, the oldest first."""
    incident(shop, cause="crm:a", state=State.OPEN, ago=4)
    incident(shop, cause="crm:b", state=State.RESOLVED, ago=1)
    incident(shop, cause="crm:c", state=State.MUTED, ago=1)
    incident(shop, cause="crm:d", state=State.ACKNOWLEDGED, ago=1)
    incident(None, "WORKER", "NO_BEAT:fast", ago=6, queue="fast", since=(NOON - timedelta(hours=6)).isoformat())


def act(client, name, row, note=""):
    where = reverse("admin:operations_incident_action", args=[row.pk, name])
    return client.post(where, {"note": note}, follow=True, headers=ENGLISH)


def said(answer):
    return " ".join(str(message) for message in answer.context["messages"])


def test_open_ones_stand_on_top_and_of_them_those_of_the_whole(client, operator, several):
    rows = re.findall(r'admin-state desk-(\w+)"', client.get(LIST).content.decode())
    assert rows == ["open", "open", "taken", "ignored", "resolved"]
    words = html_text.words(client.get(LIST, headers=ENGLISH))
    assert words.index("the whole service no worker") < words.index("open Daisy no access")


def test_row_says_what_whom_since_when_and_who_must_act(client, operator, several):
    words = html_text.words(client.get(LIST, headers=ENGLISH))
    assert (
        "the whole service no worker No worker takes what a person waits for: no card opens, no click starts a call."
        " Since 3:00 UTC there has been no sign of life. who must act: the operator"
        " since: 3:00 UTC last seen: 3:00 UTC 1"
    ) in words
    words = html_text.words(client.get(LIST, {"state__exact": "TAKEN"}, headers=ENGLISH))
    assert "taken Daisy no access Since 11:00 retailCRM has not let us in. The CRM does not know the key." in words
    assert "who must act: the client since: 11:00" in words


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
    words = html_text.words(client.get(reverse("admin:operations_incident_change", args=[row.pk]), headers=ENGLISH))
    assert "No access: Daisy" in words
    assert "The CRM does not know the key." in words
    assert "Who must act: the client." in words
    for label in ("Take", "Resolved", "Ignore until it is over"):
        assert label in words
    assert "Open again" not in words
    answer = act(client, "take", row, note="I have called them")
    assert said(answer) == "Done for 1 incident."
    words = html_text.words(answer)
    assert "11:00" in words
    assert "12:00 operator incident taken I have called them" in words
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
        assert said(act(client, name, row)) == "Done for 1 incident."
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
    assert "There is nothing to do" in said(act(client, "ignore", row))
    assert not AuditLogEntry.objects.exists()


def test_many_are_taken_at_once_with_one_note(client, operator, several):
    asked = {
        "action": "take",
        "note": "all of them",
        "_selected_action": list(Incident.objects.values_list("pk", flat=True)),
    }
    answer = client.post(LIST, asked, follow=True, headers=ENGLISH)
    assert said(answer) == "Done for 4 incidents."
    assert set(Incident.objects.filter(state=State.ACKNOWLEDGED).values_list("note", flat=True)) == {"all of them"}
    assert AuditLogEntry.objects.count() == 4


def test_support_looks_and_takes_and_no_more(client, support, shop):
    row = incident(shop)
    words = html_text.words(client.get(reverse("admin:operations_incident_change", args=[row.pk]), headers=ENGLISH))
    assert "Take" in words
    assert "Ignore until it is over" not in words
    assert "Ignore until it is over" not in html_text.words(client.get(LIST, headers=ENGLISH))
    assert act(client, "ignore", row).status_code == 403
    assert said(act(client, "take", row)) == "Done for 1 incident."
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
    journal = reverse("admin:tenants_auditlogentry_changelist")
    assert f"incident taken Incident #{row.pk}" in html_text.words(client.get(journal, headers=ENGLISH))
    assert f"Инцидент #{row.pk}" in html_text.words(client.get(journal, headers={"accept-language": "ru"}))


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
    assert "given up 0 webhook answered 500." in html_text.words(client.get(where, headers=ENGLISH))
    asked = {"action": "try_again", "_selected_action": [lost.pk]}
    assert said(client.post(where, asked, follow=True, headers=ENGLISH)) == "1 message is on its way."
    task_queue.drain()
    assert list(receiver.messages) == [f"msg_{lost.message_id.hex}"]
    assert "State: sent Tries: 1" in html_text.words(
        client.get(reverse("admin:operations_alertdelivery_change", args=[lost.pk]), headers=ENGLISH)
    )
    assert said(client.post(where, asked, follow=True, headers=ENGLISH)) == "0 messages are on their way."


def test_support_sends_nothing_again(client, support, lost):
    where = reverse("admin:operations_alertdelivery_changelist")
    client.post(where, {"action": "try_again", "_selected_action": [lost.pk]})
    lost.refresh_from_db()
    assert lost.state == AlertDelivery.State.FAILED
