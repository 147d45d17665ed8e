"""An answer told too late: the CRM has the call as missed and accepts no correction. This is noted, always and once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from connector_project.operations import tasks as operations_tasks
from connector_project.operations.alerts import incident_texts
from connector_project.operations.models import Incident
from crm.retailcrm.client import RetailCrmClient
from telephony.models import Call, CallLogEntry
from telephony.recordings import stream
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.flows.upload_hooks import while_uploading
from tests.rules import publish_rules_for_all

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]

BY_RULE = pytest.mark.parametrize("rule", [{}, {"upload_answered": False}], ids=["uploaded again", "skipped"])


@pytest.fixture
def answered(pbx, tenant):
    began = timezone.now() - timedelta(seconds=60)
    return pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[IVAN, PETR], talks=[(PETR, 50)])


def lost(call):
    return dict(
        call.notification("call_end"),
        event="lost_call",
        talk_time_duration=0,
        total_time_duration=None,
        is_lost=True,
        employee_ids=[],
    )


def late_answers():
    return CallLogEntry.objects.filter(step="LATE_ANSWER").count()


def incidents():
    """Return the late answers' incidents: state, tenant and number of calls."""
    found = Incident.objects.filter(kind="LATE_ANSWER").order_by("pk")
    return list(found.values_list("state", "tenant", "context__calls"))


def shown(crm):
    return [call["result"] for call in crm.calls]


@pytest.fixture
def wait(later):
    def minutes(count=4):
        for _minute in range(count):
            later(timedelta(minutes=1))

    return minutes


def tell(notify, *bodies):
    """Send notifications while another worker is busy: they are read, and nothing else runs."""
    notify(*bodies, works=False)
    task_queue.process_notifications()


def test_answer_told_while_the_miss_is_uploaded_is_noted(notify, crm, answered, wait, monkeypatch, stranger):
    while_uploading(monkeypatch, lambda: tell(notify, answered.notification("talk_started", employee_id=PETR)))
    notify(lost(answered))
    assert (shown(crm), late_answers()) == (["no answer"], 1)
    notify(answered.notification("call_end"))
    wait()
    assert (shown(crm), late_answers()) == (["no answer"], 1)
    assert Call.objects.get().state == Call.State.UPLOADED
    sent = CallLogEntry.objects.filter(step="UPLOAD", details__has_key="known").values_list("details", flat=True)
    assert [details["result"] for details in sent] == ["NO_ANSWER", "ANSWERED"]


@BY_RULE
def test_miss_that_the_crm_did_not_take_is_not_late(notify, crm, crm_world, answered, wait, monkeypatch, rule):
    publish_rules_for_all(**rule)
    crm_world.break_down("503", times=1)
    while_uploading(monkeypatch, lambda: tell(notify, answered.notification("talk_started", employee_id=PETR)))
    notify(lost(answered), answered.notification("call_end"))
    wait()
    assert (shown(crm), late_answers()) == ([] if rule else ["answered"], 0)


class Killed(BaseException):
    """The worker's process ends here."""


def kill_after_upload(monkeypatch):
    """Let the worker die once, between the CRM's answer and our write."""
    original, deaths = RetailCrmClient.upload_calls, iter([Killed])

    def upload(client, *args):
        answer = original(client, *args)
        for death in deaths:
            raise death
        return answer

    monkeypatch.setattr(RetailCrmClient, "upload_calls", upload)


@BY_RULE
def test_answer_told_after_the_worker_died_before_our_write_is_noted(notify, crm, answered, wait, monkeypatch, rule):
    publish_rules_for_all(**rule)
    kill_after_upload(monkeypatch)
    with pytest.raises(Killed):
        notify(lost(answered))
    assert (shown(crm), late_answers()) == (["no answer"], 0)
    notify(answered.notification("talk_started", employee_id=PETR), answered.notification("call_end"))
    wait()
    assert (shown(crm), late_answers()) == (["no answer"], 1)
    assert Call.objects.get().state == ("SKIPPED" if rule else "UPLOADED")


def test_answer_that_overtakes_the_upload_of_the_miss_is_not_late(notify, crm, answered, wait, monkeypatch):
    while_uploading(monkeypatch, lambda: notify(answered.notification("talk_started", employee_id=PETR)))
    notify(lost(answered), answered.notification("call_end"))
    wait()
    assert (shown(crm), late_answers(), Call.objects.get().state) == (["answered"], 0, "UPLOADED")


@BY_RULE
def test_ring_told_while_the_miss_is_uploaded_and_then_an_answer(notify, crm, answered, wait, monkeypatch, rule, later):
    """The menu had ended: at first nothing tells whether the miss is wrong."""
    publish_rules_for_all(**rule)
    answered.visible_at = timezone.now() + timedelta(minutes=2)
    ring = answered.notification("waiting", employee_id=PETR, at=timezone.now() + timedelta(seconds=10))
    while_uploading(monkeypatch, lambda: tell(notify, ring))
    notify(lost(answered))
    assert (shown(crm), late_answers(), Call.objects.get().state) == (["no answer"], 0, "FETCHING_LEGS")
    for leg in answered.legs:  # as if the phone had rung then
        leg.ended_at += timedelta(seconds=20)
    wait(8)
    assert (shown(crm), late_answers()) == (["no answer"], 1)


def test_worker_that_died_and_another_that_uploads_the_same_miss_note_nothing(notify, crm, wait, pbx, monkeypatch):
    missed = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    kill_after_upload(monkeypatch)
    with pytest.raises(Killed):
        notify(missed.notification("lost_call"))
    wait()
    assert (shown(crm), late_answers(), Call.objects.get().state) == (["no answer"], 0, "UPLOADED")


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_answer_told_after_an_upload_without_an_answer(notify, crm, crm_world, answered, wait, fault):
    """A request whose answer was lost may have reached the CRM: its "already there" tells that it did."""
    crm_world.break_down(fault, times=1)
    notify(lost(answered))
    assert Call.objects.get().reason == "CRM_UNAVAILABLE"
    notify(answered.notification("talk_started", employee_id=PETR), answered.notification("call_end"))
    wait()
    reached = fault == "cut"
    assert (shown(crm), late_answers()) == (["no answer" if reached else "answered"], int(reached))


def test_answer_told_after_legs_without_it_were_accepted(notify, crm, crm_world, pbx, wait, tenant):
    """A phone rang after the menu's end, so the legs were fetched; the answer is told when the miss is on its way."""
    began = timezone.now() - timedelta(seconds=60)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[IVAN], wait=20)
    menu = dict(call.notification("lost_call"), notification_time=call.account.stamp(began))
    crm_world.break_down("503")
    notify(call.notification("waiting", employee_id=IVAN, at=began + timedelta(seconds=15)), menu)
    assert (Call.objects.get().state, Call.objects.get().has_legs) == ("READY", True)
    talk = dict(call.notification("waiting", employee_id=IVAN), event="talk_started")
    notify(dict(talk, notification_time=call.account.stamp(began + timedelta(seconds=30))))
    assert (Call.objects.get().state, Call.objects.get().has_legs) == ("FETCHING_LEGS", False)


def test_late_answer_opens_an_incident(notify, crm, answered, wait, tenant, stranger):
    notify(lost(answered))
    operations_tasks.evaluate_alerts()
    assert incidents() == []
    notify(answered.notification("talk_started", employee_id=PETR))
    operations_tasks.evaluate_alerts()
    assert incidents() == [("OPEN", tenant.pk, 1)]
    assert incident_texts.message(Incident.objects.get(kind="LATE_ANSWER"))
    wait(1)
    operations_tasks.evaluate_alerts()
    assert incidents() == [("OPEN", tenant.pk, 1)]


def test_incident_of_late_answers_ends_a_day_after_the_last(notify, crm, answered, later, tenant):
    notify(lost(answered), answered.notification("talk_started", employee_id=PETR))
    operations_tasks.evaluate_alerts()
    later(timedelta(days=1, minutes=1))
    operations_tasks.evaluate_alerts()
    later(timedelta(minutes=6))
    operations_tasks.evaluate_alerts()
    assert [state for state, *_more in incidents()] == ["RESOLVED"]


def test_incident_that_a_person_resolved_comes_back_only_with_a_new_late_answer(
    notify, crm, pbx, answered, later, tenant
):
    notify(lost(answered), answered.notification("talk_started", employee_id=PETR))
    operations_tasks.evaluate_alerts()
    Incident.objects.update(state="RESOLVED", resolved_at=timezone.now(), resolved_manually=True)
    later(timedelta(hours=1))
    operations_tasks.evaluate_alerts()
    assert [state for state, *_more in incidents()] == ["RESOLVED"]
    began = timezone.now() - timedelta(seconds=60)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[PETR], talks=[(PETR, 50)])
    notify(lost(call), call.notification("talk_started", employee_id=PETR))
    operations_tasks.evaluate_alerts()
    assert incidents()[1:] == [("OPEN", tenant.pk, 1)]


def test_talk_told_after_an_outgoing_call_was_uploaded_as_not_reached(notify, crm, pbx, wait, tenant, stranger):
    busy = pbx.call(
        contact=CONTACT, number=NUMBER, direction="out", rings=[IVAN], finish_reason="subscriber_busy", wait=20
    )
    notify(busy.notification("call_end"))
    assert (shown(crm), late_answers()) == (["busy"], 0)
    notify(busy.notification("outgoing", employee_id=IVAN))
    assert late_answers() == 0
    notify(dict(busy.notification("outgoing", employee_id=IVAN), event="talk_started"))
    wait()
    assert (shown(crm), late_answers(), Call.objects.get().state) == (["busy"], 1, "UPLOADED")
    operations_tasks.evaluate_alerts()
    assert incidents() == [("OPEN", tenant.pk, 1)]


def test_talk_that_a_request_for_the_recording_tells_is_noted(notify, crm, answered, tenant):
    notify(lost(answered))
    stream.refresh_from_uis(Call.objects.with_related().get(), now=timezone.now())
    assert (shown(crm), late_answers(), Call.objects.get().state) == (["no answer"], 1, "UPLOADED")
