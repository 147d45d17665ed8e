"""Voice mail is linked as the recording of its missed call.

No notification tells of one and an upload cannot be changed, so the report is asked first where there may be one.
"""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from connector_project.operations.explain import explain
from connector_project.operations.explain.data import MASKED
from telephony import tasks
from telephony.models import Call, CallLogEntry, Notification
from tenants.models import Employee, VirtualNumber
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]

MAIL = "3be7" * 8
SECOND_NUMBER = "74950000002"
WAITS = ("FETCHING_LEGS", "VOICE_MAIL_NOT_READY")


@pytest.fixture
def extension(tenant, pbx):
    """Ivan's extension has voice mail, as the sync stores it."""
    pbx.employees[IVAN]["extension"]["extension_voice_mail_enabled"] = True
    tasks.sync_employees(tenant.pk)
    task_queue.drain()


@pytest.fixture
def leave(pbx):
    """Let a caller whom nobody answers leave a voice mail; the report shows it after a delay, or never (None)."""

    def call(*, delay=timedelta(0), rings=(IVAN, PETR), seconds=20, **fields):
        began = timezone.now() - timedelta(seconds=5 + seconds)
        fields = {"contact": CONTACT, "number": NUMBER, "started_at": began} | fields
        session = pbx.call(rings=rings, voice_mail=seconds, **fields)
        session.voice_mails_at = timezone.now() + (timedelta(days=300) if delay is None else delay)
        return session

    return call


@pytest.fixture
def minutes(later):
    def wait(count):
        for _minute in range(count):
            later(timedelta(minutes=1))

    return wait


def told(session, **fields):
    """Return the lost call's notifications with durations that tell nothing of a voice mail."""
    return session.notification("lost_call") | fields


def row():
    call = Call.objects.get()
    return call.state, call.reason


def explained():
    return explain(Call.objects.with_related().get(), redactor=MASKED, now=timezone.now())


def mail_of(session):
    return f"https://app.uiscom.ru/system/media/voice_mail/{session.communication_id}/{session.voice_mails[-1]}/"


@pytest.mark.parametrize("communication_id", [None, 77, 3545169699])
@pytest.mark.parametrize("mails", [[MAIL], ["0" * 32, MAIL]])
@pytest.mark.parametrize("kind", ["UIS", "OURS"])
def test_voice_mail_of_the_report_is_the_recording(
    tenant, pbx, crm, run_queue, stranger, communication_id, mails, kind
):
    publish_rules(tenant, recording_link=kind)
    began = timezone.now() - timedelta(minutes=30)
    missed = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=began)
    missed.voice_mails, missed.communication_id = mails, communication_id or missed.session_id
    tasks.reconcile_calls(tenant.pk)
    run_queue()
    link = f"https://app.uiscom.ru/system/media/voice_mail/{missed.communication_id}/{MAIL}/"
    (uploaded,) = crm.calls
    assert uploaded["result"] == "no answer"
    assert uploaded["recordUrl"] == link if kind == "UIS" else "/records/" in uploaded["recordUrl"]
    assert Call.objects.get().recording_url == link


def test_missed_call_without_voice_mail_has_no_link(tenant, pbx, crm, run_queue):
    began = timezone.now() - timedelta(minutes=30)
    pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=began)
    tasks.reconcile_calls(tenant.pk)
    run_queue()
    assert "recordUrl" not in crm.calls[0]


@pytest.mark.parametrize("enabled", [True, False, None])
def test_setting_of_the_extension_is_stored_by_the_sync(tenant, pbx, run_queue, enabled):
    pbx.employees[IVAN]["extension"]["extension_voice_mail_enabled"] = enabled
    pbx.employees[PETR]["extension"] = {}
    tasks.sync_employees(tenant.pk)
    stored = dict(Employee.objects.filter(tenant=tenant).values_list("uis_id", "has_voice_mail"))
    assert (stored[IVAN], stored[PETR]) == (bool(enabled), False)


@pytest.mark.parametrize("kind", ["UIS", "OURS"])
def test_voice_mail_of_an_extension_is_linked_by_the_one_upload(
    tenant, notify, crm, leave, client, extension, stranger, kind
):
    publish_rules(tenant, recording_link=kind)
    session = leave()
    notify(told(session))
    (uploaded,) = crm.calls
    assert (uploaded["result"], uploaded["code"]) == ("no answer", "102")
    if kind == "UIS":
        assert uploaded["recordUrl"] == mail_of(session)
    else:
        answer = client.get(urlsplit(uploaded["recordUrl"]).path)
        assert (answer.status_code, answer["Content-Type"]) == (200, "audio/mpeg")
        answer.close()


def test_longer_total_time_than_the_wait_tells_that_there_may_be_one(notify, crm, leave, stranger):
    session = leave()
    notify(session.notification("call_end"), works=False)
    notify(session.notification("lost_call"))
    assert [call["recordUrl"] for call in crm.calls] == [mail_of(session)]


def test_number_that_had_voice_mail_before_is_asked_for(tenant, notify, crm, pbx, leave, minutes, run_queue, stranger):
    first = leave(started_at=timezone.now() - timedelta(minutes=30))
    tasks.reconcile_calls(tenant.pk)
    run_queue()
    session = leave()
    notify(told(session))
    assert [call.get("recordUrl") for call in crm.calls] == [mail_of(first), mail_of(session)]
    assert VirtualNumber.objects.get(tenant=tenant, number=SECOND_NUMBER).voice_mail_at is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"number": SECOND_NUMBER},
        {"rings": [PETR]},
        {"rings": []},
        {"wait": 60},
    ],
)
@pytest.mark.parametrize("events", [["lost_call"], ["lost_call", "call_end"], ["call_end", "lost_call"]])
def test_other_missed_calls_go_up_without_a_request(tenant, notify, uis_world, crm, pbx, fields, events):
    Employee.objects.filter(tenant=tenant).exclude(uis_id__in=[IVAN, PETR]).update(has_voice_mail=True)
    session = pbx.call(**{"contact": CONTACT, "number": NUMBER, "rings": [IVAN, PETR]} | fields)
    uis_world.requests.clear()
    notify(*[session.notification(event) for event in events])
    assert [(call["result"], "recordUrl" in call) for call in crm.calls] == [("no answer", False)]
    assert uis_world.requests == []


@pytest.mark.parametrize("rounding", [1, 2, 4])
def test_rounded_durations_are_no_voice_mail(notify, uis_world, crm, pbx, tenant, rounding):
    session = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], wait=30)
    uis_world.requests.clear()
    notify(session.notification("call_end") | {"total_time_duration": 30 + rounding})
    assert (len(crm.calls), uis_world.requests) == (1, [])


@pytest.mark.parametrize("name", ["wait_time_duration", "total_time_duration"])
def test_duration_that_is_not_told_is_no_voice_mail(notify, uis_world, crm, leave, tenant, name):
    session = leave()
    uis_world.requests.clear()
    notify(session.notification("call_end") | {name: None})
    assert (len(crm.calls), uis_world.requests) == (1, [])


def test_nobody_asks_where_no_recordings_are_sent(tenant, notify, uis_world, crm, leave, extension):
    publish_rules(tenant, send_recording=False)
    uis_world.requests.clear()
    notify(told(leave()))
    assert (len(crm.calls), uis_world.requests) == (1, [])


def test_call_that_a_rule_skips_is_not_asked_for(tenant, notify, uis_world, crm, leave, extension):
    publish_rules(tenant, upload_missed=False)
    uis_world.requests.clear()
    notify(told(leave()))
    assert (Call.objects.get().skip_reason, uis_world.requests) == ("MISSED_OFF", [])


@pytest.mark.parametrize("delay", [timedelta(seconds=20), timedelta(seconds=70)])
def test_voice_mail_that_comes_within_the_wait_is_linked(notify, crm, leave, minutes, extension, stranger, delay):
    session = leave(delay=delay)
    notify(told(session))
    assert (crm.calls, row()) == ([], WAITS)
    found = explained()
    assert (found.diagnosis.reason, found.diagnosis.responsible) == ("VOICE_MAIL_NOT_READY", "uis")
    assert found.next.count(":") > 1  # when it is asked again, and when it is uploaded at the latest
    minutes(4)
    assert [call["recordUrl"] for call in crm.calls] == [mail_of(session)]
    assert CallLogEntry.objects.filter(step="UPLOAD").count() == 1


def test_miss_is_uploaded_without_a_link_if_none_comes(notify, crm, leave, minutes, extension, stranger):
    notify(told(leave(delay=None)))
    minutes(4)
    assert [("recordUrl" in call, call["result"]) for call in crm.calls] == [(False, "no answer")]
    notify(told(leave(delay=None)) | {"call_session_id": Call.objects.get().session_id})
    assert len(crm.calls) == 1


def test_voice_mail_after_the_upload_is_shown_and_the_page_says_why_it_has_no_link(
    notify, crm, leave, minutes, extension, later, stranger
):
    session = leave(delay=timedelta(minutes=10))
    notify(told(session))
    minutes(4)
    assert "recordUrl" not in crm.calls[0]
    later(timedelta(minutes=20))
    tasks.reconcile_all()
    task_queue.drain()
    assert (Call.objects.get().recording_url, len(crm.calls)) == (mail_of(session), 1)
    assert "VOICE_MAIL_LATE" in [warning.reason for warning in explained().warnings]


@pytest.mark.parametrize("kind", ["503", "timeout", "internal_error", "no_result", "html"])
def test_uis_that_is_away_delays_the_miss_no_longer_than_the_wait(
    notify, uis_world, crm, leave, minutes, extension, stranger, kind
):
    session = leave()
    uis_world.break_down(kind)
    notify(told(session))
    assert crm.calls == [] or kind == "no_result"
    minutes(4)
    assert [("recordUrl" in call, call["result"]) for call in crm.calls] == [(False, "no answer")]
    minutes(5)
    uis_world.repair()
    minutes(10)
    assert len(crm.calls) == 1


@pytest.mark.parametrize("fault", ["token", "legs", "calls", "points"])
def test_uis_that_denies_delays_the_miss_no_longer_than_the_wait(
    notify, pbx, crm, leave, minutes, extension, stranger, fault
):
    session = leave()
    if fault == "token":
        pbx.token_state = "blocked"
    elif fault == "points":
        pbx.minute_limit = 0
    else:
        pbx.unavailable_methods.add({"legs": "get.call_legs_report", "calls": "get.calls_report"}[fault])
    notify(told(session))
    minutes(4)
    assert [("recordUrl" in call, call["result"]) for call in crm.calls] == [(False, "no answer")]
    assert Call.objects.get().failed_at is None


def test_call_that_the_report_does_not_show_is_uploaded_after_the_wait(notify, crm, leave, minutes, extension):
    session = leave()
    session.visible_at = timezone.now() + timedelta(hours=5)
    notify(told(session))
    assert crm.calls == []
    minutes(4)
    assert ["recordUrl" in call for call in crm.calls] == [False]


def test_answer_that_is_told_during_the_wait_overrides_the_miss(notify, pbx, crm, minutes, extension, stranger):
    began = timezone.now() - timedelta(seconds=40)
    talk = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 20)], started_at=began)
    talk.visible_at = timezone.now() + timedelta(seconds=90)
    lost = dict(talk.notification("call_end"), event="lost_call", talk_time_duration=0, employee_ids=[IVAN])
    notify(lost)
    assert (crm.calls, Call.objects.get().is_missed) == ([], True)
    notify(talk.notification("talk_started", employee_id=IVAN))
    minutes(4)
    assert [call["result"] for call in crm.calls] == ["answered"]


def test_talk_that_only_the_report_knows_overrides_the_miss(notify, pbx, crm, minutes, extension, stranger):
    began = timezone.now() - timedelta(seconds=40)
    talk = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 20)], started_at=began)
    notify(dict(talk.notification("call_end"), event="lost_call", talk_time_duration=0, employee_ids=[IVAN]))
    minutes(1)
    assert [call["result"] for call in crm.calls] == ["answered"]


def test_notifications_that_come_hours_late_are_asked_for_too(notify, crm, leave, extension, stranger):
    session = leave(started_at=timezone.now() - timedelta(hours=2))
    notify(told(session))
    assert [call["recordUrl"] for call in crm.calls] == [mail_of(session)]


def test_lost_queue_and_repeats_upload_it_once(notify, crm, leave, minutes, extension, stranger):
    session = leave(delay=timedelta(seconds=30))
    notify(told(session), told(session), session.notification("call_end"), works=False)
    task_queue.lose()
    minutes(4)
    assert [call["recordUrl"] for call in crm.calls] == [mail_of(session)]
    assert not Notification.objects.filter(outcome="UNREADABLE").exists()


def test_miss_whose_worker_died_is_uploaded(notify, crm, uis_world, leave, minutes, extension, monkeypatch):
    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    notify(told(leave(delay=timedelta(days=1))), works=False)
    task_queue.process_notifications()
    uis_world.hang = kill
    uis_world.break_down("timeout", times=1)
    with pytest.raises(Killed):
        task_queue.drain()
    minutes(6)
    assert [("recordUrl" in call, call["result"]) for call in crm.calls] == [(False, "no answer")]
