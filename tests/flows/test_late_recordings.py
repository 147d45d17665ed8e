"""Recordings that come late or never, with both kinds of link, told by the notification, the report or both."""

import json
from datetime import timedelta
from io import StringIO
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from telephony import tasks
from telephony.models import Call, CallLogEntry, RecordingLink
from telephony.recordings.unavailable import UnavailableReason
from tenants.models import Employee
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.fakes import uis_recordings
from tests.rules import publish_rules
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2), pytest.mark.usefixtures("slots")]

MINUTES, HOURS, DAYS = timedelta(minutes=4), timedelta(hours=5), timedelta(days=3)


@pytest.fixture
def rule(tenant):
    """Set the kind of link that the CRM gets."""
    return lambda kind: publish_rules(tenant, recording_link=kind)


@pytest.fixture
def wait_for_upload(later, crm):
    """Let the client's wait pass, and return the path of the link that the CRM got."""

    def wait():
        for _minute in range(12):
            if not crm.calls:
                later(timedelta(minutes=1))
        (uploaded,) = crm.calls
        return urlsplit(uploaded["recordUrl"]).path

    return wait


def play(client, path, **headers):
    answer = client.get(path, headers=headers)
    answer.body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    return answer


def audio_of(session):
    return uis_recordings.audio(session.records[0], 20)


def call_page(client, django_user_model):
    person = django_user_model.objects.filter(username="support").first() or create_user("support", "Support")
    client.force_login(person)
    pk = Call.objects.get().pk
    return client.get(reverse("admin:telephony_call_change", args=[pk]), headers={"accept-language": "en"})


def exported():
    out, call = StringIO(), Call.objects.get()
    since, till = (call.started_at - timedelta(days=1)).isoformat(), timezone.now().isoformat()
    call_command(
        "export_calls", "--tenant", "romashka", "--from", since, "--till", till, "--format", "jsonl", stdout=out
    )
    return json.loads(out.getvalue())


def test_own_link_is_uploaded_at_once(rule, notify, crm, talk, client, stranger):
    rule("OURS")
    notify(talk.notification("call_end"))
    (uploaded,) = crm.calls
    path = urlsplit(uploaded["recordUrl"]).path
    assert path == f"/records/{RecordingLink.objects.get().token}/"
    answer = play(client, path)
    assert (answer.status_code, answer["Retry-After"], answer["Cache-Control"]) == (503, "60", "no-store")
    assert "<h1>" in answer.content.decode()
    told = client.get(path, headers={"accept": "application/json", "accept-language": "en"})
    assert (told.status_code, told.json()["reason"]) == (503, "NOT_READY")
    assert client.head(path).status_code == 503
    assert CallLogEntry.objects.get(step="UPLOAD").details["link"] == "OURS"


@pytest.mark.parametrize("mode", ["off", "out"])
def test_own_link_is_not_sent_where_no_recording_is_expected(rule, notify, crm, talk, mode):
    rule("OURS")
    Employee.objects.filter(uis_id=IVAN).update(recording_mode=mode)
    notify(talk.notification("call_end"))
    assert ("recordUrl" in crm.calls[0], RecordingLink.objects.exists()) == (False, False)
    assert not Call.objects.get().awaits_recording


@pytest.mark.parametrize("mode", ["all", "in", "", "later"])
def test_recording_is_expected_where_the_setting_says_so_or_is_unknown(rule, notify, crm, talk, mode):
    rule("OURS")
    Employee.objects.filter(uis_id=IVAN).update(recording_mode=mode)
    notify(talk.notification("call_end"))
    assert "/records/" in crm.calls[0]["recordUrl"]


@pytest.mark.parametrize(("told", "stored"), [("in", "in"), ("OFF", "off"), (None, ""), ("selected", "selec")])
def test_recording_setting_is_stored_by_the_sync(run_queue, pbx, tenant, told, stored):
    pbx.employees[IVAN]["call_recording"] = told
    tasks.sync_employees(tenant.pk)
    assert Employee.objects.get(tenant=tenant, uis_id=IVAN).recording_mode == stored


def test_uis_link_is_waited_for(rule, notify, crm, talk, later):
    rule("UIS")
    notify(talk.notification("call_end"))
    assert crm.calls == []
    talk.records_at = timezone.now() + MINUTES
    for _minute in range(9):
        later(timedelta(minutes=1))
    assert crm.calls[0]["recordUrl"] == talk.link(talk.records[0])
    assert CallLogEntry.objects.get(step="UPLOAD").details["link"] == "UIS"


@pytest.mark.parametrize("kind", ["UIS", "OURS"])
@pytest.mark.parametrize("delay", [MINUTES, HOURS, DAYS], ids=["minutes", "hours", "days"])
@pytest.mark.parametrize("told_by", ["notification", "report", "both", "both reversed"])
def test_late_recording_is_played_by_the_link_in_the_crm(
    rule, notify, crm, talk, client, later, wait_for_upload, django_user_model, stranger, kind, delay, told_by
):
    rule(kind)
    notify(talk.notification("call_end"))
    path = wait_for_upload()
    assert play(client, path).status_code == 503
    later(Call.objects.get().ended_at + delay - timezone.now())
    if told_by != "report":
        told = talk.notification("recorded")
    if told_by == "both":
        notify(told)
    talk.records_at = timezone.now()
    if told_by in {"report", "both", "both reversed"}:
        tasks.follow_up_recordings(Call.objects.get().tenant_id)
    if told_by in {"notification", "both reversed"}:
        notify(told)
    call = Call.objects.get()
    assert (call.recording_url, call.awaits_recording) == (talk.link(talk.records[0]), False)
    assert exported()["has_recording"] is True
    assert CallLogEntry.objects.filter(step="LATE_RECORDING").count() == 1
    assert play(client, path).body == audio_of(talk)
    part = play(client, path, Range="bytes=2-9")
    assert (part.status_code, part.body) == (206, audio_of(talk)[2:10])
    page = call_page(client, django_user_model)
    assert (page.context["recording"].reason, len(page.context["recording"].tracks)) == (None, 1)
    assert len(crm.calls) == 1


@pytest.mark.parametrize("kind", ["UIS", "OURS"])
def test_link_finds_the_recording_that_nobody_told_of(rule, notify, talk, client, later, wait_for_upload, kind):
    rule(kind)
    notify(talk.notification("call_end"))
    path = wait_for_upload()
    later(HOURS)
    talk.records_at = timezone.now()
    assert play(client, path).body == audio_of(talk)
    assert Call.objects.get().recording_url == talk.link(talk.records[0])


@pytest.mark.parametrize("kind", ["UIS", "OURS"])
def test_reconciliation_finds_the_recording_of_an_uploaded_call(rule, notify, talk, later, wait_for_upload, kind):
    rule(kind)
    notify(talk.notification("call_end"))
    wait_for_upload()
    talk.records_at = timezone.now()
    later(timedelta(minutes=20))
    tasks.reconcile_all()
    later(timedelta(minutes=1))
    call = Call.objects.get()
    assert (bool(call.recording_url), call.awaits_recording) == (True, False)


@pytest.mark.parametrize("kind", ["UIS", "OURS"])
def test_link_is_withdrawn_where_no_recording_comes(
    rule, notify, talk, client, later, wait_for_upload, django_user_model, uis_world, kind
):
    rule(kind)
    notify(talk.notification("call_end"))
    path = wait_for_upload()
    page = call_page(client, django_user_model)
    assert page.context["recording"].reason == UnavailableReason.NOT_READY
    later(timedelta(days=1))
    gone = client.get(path, headers={"accept": "application/json"})
    assert (gone.status_code, gone.json()["reason"], "Retry-After" in gone) == (410, "NEVER_CAME", False)
    page = call_page(client, django_user_model)
    assert page.context["recording"].reason == UnavailableReason.NEVER_CAME
    assert "RECORDING_NEVER_CAME" in page.content.decode()
    later(timedelta(days=8))
    tasks.follow_up_recordings(Call.objects.get().tenant_id)
    assert not Call.objects.get().awaits_recording
    uis_world.requests.clear()
    tasks.follow_up_recordings(Call.objects.get().tenant_id)
    assert uis_world.requests == []
    talk.records_at = timezone.now()
    notify(talk.notification("recorded"))
    assert play(client, path).body == audio_of(talk)


def test_clicks_on_a_link_that_is_not_ready_ask_uis_once_a_minute(rule, notify, talk, client, later, uis_world):
    rule("OURS")
    notify(talk.notification("call_end"))
    path = f"/records/{RecordingLink.objects.get().token}/"
    uis_world.requests.clear()
    for _click in range(5):
        assert client.get(path).status_code == 503
    assert len([one for one in uis_world.requests if one.method == "get.call_legs_report"]) == 1


def test_second_recording_of_a_transfer_comes_after_the_upload(rule, notify, crm, pbx, tenant, client, later):
    """UIS had one of two recordings at the deadline: our link plays all once UIS has them."""
    began = timezone.now() - timedelta(seconds=60)
    transfer = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=[(IVAN, 12), (PETR, 9)])
    second, transfer.legs[2].records = transfer.legs[2].records, []
    transfer.legs[0].records = transfer.records
    notify(transfer.notification("call_end"))
    for _minute in range(12):
        later(timedelta(minutes=1))
    path = urlsplit(crm.calls[0]["recordUrl"]).path
    assert play(client, path).body == uis_recordings.audio(transfer.records[0], 12)
    transfer.legs[2].records = second
    transfer.legs[0].records = transfer.records
    notify(transfer.notification("recorded", employee_id=PETR))
    tasks.follow_up_recordings(tenant.pk)
    call = Call.objects.get()
    assert not call.awaits_recording
    assert play(client, path).body in {uis_recordings.whole(transfer), uis_recordings.audio(second[0], 9)}


@pytest.mark.parametrize("length", [254, 255, 256, 300, 1900])
def test_link_longer_than_the_crm_takes_is_replaced_by_ours(rule, notify, crm, talk, tenant, length):
    rule("UIS")
    link = "https://media.uiscom.ru/".ljust(length, "a")
    notify(talk.notification("recorded") | {"file_link": link}, talk.notification("call_end"))
    (uploaded,) = crm.calls
    is_short = length <= 255
    assert (uploaded["recordUrl"] == link) is is_short
    assert len(uploaded["recordUrl"]) <= 255
    assert CallLogEntry.objects.get(step="UPLOAD").details["link"] == ("UIS" if is_short else "OURS")


def test_follow_up_asks_for_many_calls_at_once(rule, notify, pbx, tenant, uis_world, later):
    rule("OURS")
    began = timezone.now() - timedelta(seconds=60)
    calls = [pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 5)], started_at=began) for _call in range(7)]
    for call in calls:
        call.records_at = timezone.now() + HOURS
    notify(*(call.notification("call_end") for call in calls))
    for _minute in range(3):
        later(timedelta(minutes=1))
    later(HOURS)
    uis_world.requests.clear()
    tasks.follow_up_recordings(tenant.pk)
    assert [one.method for one in uis_world.requests] == ["get.call_legs_report"]
    assert not Call.objects.filter(awaits_recording=True).exists()


def test_link_of_a_purged_call_is_not_found(rule, notify, talk, client, later):
    rule("OURS")
    notify(talk.notification("call_end"))
    path = f"/records/{RecordingLink.objects.get().token}/"
    later(timedelta(days=400))
    call_command("purge", stdout=StringIO())
    assert not Call.objects.exists()
    assert client.get(path).status_code == 404


def test_link_of_an_erased_number_plays_nothing(rule, notify, talk, client, uis_world):
    rule("OURS")
    notify(talk.notification("call_end"))
    path = f"/records/{RecordingLink.objects.get().token}/"
    call_command("erase_number", "--tenant", "romashka", CONTACT, stdout=StringIO())
    talk.records_at = timezone.now()
    uis_world.requests.clear()
    assert client.get(path).status_code == 410
    notify(talk.notification("recorded"))
    tasks.follow_up_recordings(Call.objects.get().tenant_id)
    assert (Call.objects.get().recording_url, uis_world.requests) == ("", [])
