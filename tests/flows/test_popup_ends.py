"""Why nobody talked: no notification of our templates tells it, so the CRM is told what UIS's report says.

Where the report is asked anyway the pop-ups wait for it, a minute at most; all others are closed at once.
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from connector_project.operations import ticker
from connector_project.operations.explain import explain
from connector_project.operations.explain.data import MASKED
from crm import popup_ends
from crm import tasks as crm_tasks
from crm.models import Popup
from telephony.models import Call
from tenants.models import Employee, UisConnection
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]


@pytest.fixture
def dial(pbx, notify):
    """Let Ivan dial a customer who is not reached, for this reason; nothing is told of the end yet."""

    def call(reason="subscriber_busy", **fields):
        began = timezone.now() - timedelta(seconds=5)
        fields = {"contact": CONTACT, "number": NUMBER, "direction": "out", "rings": [IVAN]} | fields
        session = pbx.call(started_at=began, finish_reason=reason, **fields)
        notify(session.notification("outgoing", employee_id=IVAN, at=timezone.now()))
        return session

    return call


@pytest.fixture
def ring(pbx, notify, tenant):
    """Let Ivan's and Petr's phones ring in a call that nobody answers; nothing is told of the end yet."""

    def call(reason="subscriber_disconnects", **fields):
        session = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR], finish_reason=reason, **fields)
        for person in (IVAN, PETR):
            notify(session.notification("waiting", employee_id=person, at=timezone.now()))
        return session

    return call


@pytest.fixture
def minutes(later):
    def wait(count):
        for _minute in range(count):
            later(timedelta(minutes=1))

    return wait


def told(session, event="call_end", **fields):
    return session.notification(event, at=timezone.now()) | fields


def hangups(crm):
    return [event["hangupStatus"] for event in crm.events if event["type"] == "hangup"]


def is_waiting():
    return [popup.close_by is not None for popup in Popup.objects.order_by("pk")]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("subscriber_busy", "busy"),
        ("operator_disconnects", "cancel"),
        ("subscriber_number_problems", "failed"),
        ("no_money", "failed"),
        ("subscriber_not_responsible", "no answered"),
        ("not documented", "no answered"),
    ],
)
def test_outgoing_call_is_closed_with_the_reason_of_the_report(notify, crm, dial, stranger, reason, status):
    notify(told(dial(reason)))
    assert hangups(crm) == [status]
    assert set(Popup.objects.values_list("hangup", "close_by", "closing_until")) == {(status, None, None)}


def test_click_that_rang_nobody_is_closed_with_the_reason_of_the_report(notify, crm, dial, stranger):
    notify(told(dial("operator_busy", external_id="click-99")))
    assert hangups(crm) == ["busy"]


@pytest.mark.parametrize("event", ["lost_call", "call_end"])
def test_missed_call_is_closed_at_once_without_a_request(notify, uis_world, crm, ring, tenant, event):
    session = ring()
    uis_world.requests.clear()
    notify(told(session, event), works=False)
    task_queue.process_notifications()
    assert (hangups(crm), uis_world.requests) == (["no answered"], [])


@pytest.mark.parametrize("why", ["voice mail", "not told"])
def test_missed_call_that_is_asked_for_is_closed_with_the_reason_of_the_report(notify, crm, ring, tenant, why):
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(has_voice_mail=why == "voice mail")
    notify(told(ring(), is_lost=None, talk_time_duration=None if why == "not told" else 0))
    assert hangups(crm) == ["cancel"]
    assert not Popup.objects.shown().exists()


def test_missed_call_that_a_rule_skips_is_closed_at_once(notify, crm, ring, tenant):
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(has_voice_mail=True)
    publish_rules(tenant, upload_missed=False)
    notify(told(ring(), "lost_call"), works=False)
    task_queue.process_notifications()
    assert hangups(crm) == ["no answered"]


def test_talk_is_closed_at_once(notify, pbx, crm, tenant):
    session = pbx.call(contact=CONTACT, number=NUMBER, direction="out", talks=[(IVAN, 5)])
    notify(session.notification("outgoing", employee_id=IVAN, at=timezone.now()))
    notify(told(session), works=False)
    task_queue.process_notifications()
    assert hangups(crm) == ["answered"]


def test_talk_that_only_the_report_knows_is_answered(notify, pbx, crm, tenant):
    session = pbx.call(contact=CONTACT, number=NUMBER, direction="out", talks=[(IVAN, 5)])
    notify(session.notification("outgoing", employee_id=IVAN, at=timezone.now()))
    notify(told(session, talk_time_duration=0))
    assert hangups(crm) == ["answered"]


def test_reason_that_a_later_notification_tells_closes_at_once(notify, crm, dial, tenant):
    session = dial("subscriber_busy")
    session.visible_at = timezone.now() + timedelta(days=1)
    notify(told(session))
    assert (hangups(crm), is_waiting()) == ([], [True])
    notify(told(session, finish_reason="operator_disconnects", wait_time_duration=7))
    assert (hangups(crm), is_waiting()) == (["cancel"], [False])


def test_report_that_comes_late_is_waited_for_a_minute_at_most(notify, crm, dial, later, minutes, stranger):
    session = dial()
    session.visible_at = timezone.now() + timedelta(seconds=90)
    notify(told(session), told(session))
    found = explain(Call.objects.with_related().get(), redactor=MASKED, now=timezone.now())
    assert "POPUP_WAITS" in [entry.step for entry in found.timeline]
    later(popup_ends.REASON_WAIT / 2)
    assert (hangups(crm), is_waiting()) == ([], [True])
    later(popup_ends.REASON_WAIT / 2)
    assert (hangups(crm), Popup.objects.shown().count()) == (["no answered"], 0)
    minutes(12)
    assert (hangups(crm), [call["result"] for call in crm.calls]) == (["no answered"], ["busy"])


def test_ticker_closes_it_without_the_sweep(notify, crm, dial, later, run_queue, monkeypatch):
    session = dial()
    session.visible_at = timezone.now() + timedelta(minutes=30)
    notify(told(session))
    monkeypatch.setattr(task_queue, "sweep", lambda: None)
    later(popup_ends.REASON_WAIT)
    ticker.tick()
    run_queue()
    assert hangups(crm) == ["no answered"]


@pytest.mark.parametrize("kind", ["503", "timeout", "no_result", "html"])
def test_uis_that_is_away_delays_the_end_a_minute_at_most(notify, uis_world, crm, dial, minutes, kind):
    session = dial()
    uis_world.break_down(kind)
    notify(told(session))
    minutes(1)
    assert hangups(crm) == ["no answered"]


def test_nobody_waits_for_a_report_that_uis_denies(notify, crm, dial, tenant):
    session = dial()
    UisConnection.objects.filter(tenant=tenant).update(denied_at=timezone.now())
    notify(told(session), works=False)
    task_queue.process_notifications()
    assert hangups(crm) == ["no answered"]


def test_crm_that_is_away_gets_the_reason_later(notify, crm, crm_world, dial, minutes, stranger):
    session = dial()
    crm_world.break_down("503", path_part="call/event")
    notify(told(session))
    assert hangups(crm) == []
    crm_world.repair()
    minutes(3)
    assert hangups(crm) == ["busy"]


def test_crm_that_is_away_for_long_is_not_told(notify, crm, crm_world, dial, minutes):
    session = dial()
    crm_world.break_down("503", path_part="call/event")
    notify(told(session))
    minutes(13)
    crm_world.repair()
    minutes(8)
    assert (hangups(crm), is_waiting()) == ([], [False])


class Killed(BaseException):
    """The worker's process ends here."""


def test_worker_that_dies_while_closing_leaves_no_popup_open(notify, crm, dial, minutes, monkeypatch):
    original, deaths = popup_ends.popup_closing.close, iter([Killed])

    def close(*args, **kwargs):
        for death in deaths:
            raise death
        return original(*args, **kwargs)

    session = dial()
    with monkeypatch.context() as patch:
        patch.setattr(popup_ends.popup_closing, "close", close)
        with pytest.raises(Killed):
            notify(told(session))
        assert (hangups(crm), is_waiting()) == ([], [True])
        minutes(2)
    assert hangups(crm) == ["busy"]


def test_lost_queue_leaves_no_popup_open(notify, crm, dial, minutes):
    notify(told(dial()), works=False)
    task_queue.process_notifications()
    task_queue.lose()
    minutes(2)
    assert hangups(crm) in (["busy"], ["no answered"])


def test_two_tasks_close_it_once(notify, crm, dial, tenant, monkeypatch):
    original, seconds = popup_ends.popup_closing.close, iter([True])

    def close(*args, **kwargs):
        if next(seconds, False):
            crm_tasks.close_popups(tenant.pk)
        return original(*args, **kwargs)

    session = dial()
    monkeypatch.setattr(popup_ends.popup_closing, "close", close)
    notify(told(session))
    assert hangups(crm) == ["busy"]


def test_phone_that_rings_after_the_end_of_a_menu_keeps_its_popup(notify, pbx, crm, tenant, later):
    session = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(session.notification("waiting", employee_id=IVAN, at=timezone.now()))
    session.visible_at = timezone.now() + timedelta(minutes=30)
    notify(told(session, is_lost=None, talk_time_duration=None))
    assert is_waiting() == [True]
    later(timedelta(seconds=10))
    notify(session.notification("waiting", employee_id=IVAN, at=timezone.now()) | {"leg_id": 77})
    later(popup_ends.REASON_WAIT)
    assert (hangups(crm), is_waiting()) == ([], [False])
    notify(told(session, "lost_call"))
    later(popup_ends.REASON_WAIT)
    assert hangups(crm) == ["no answered"]


def test_end_during_opening_waits_for_the_reason_too(notify, crm, pbx, tenant, monkeypatch):
    session = pbx.call(contact=CONTACT, number=NUMBER, direction="out", rings=[IVAN], finish_reason="subscriber_busy")
    notify(session.notification("outgoing", employee_id=IVAN, at=timezone.now()), works=False)
    ends = iter([True])

    def end_meanwhile(_seconds):
        if next(ends, False):
            notify(told(session), works=False)
            task_queue.process_notifications()

    monkeypatch.setattr("connector_project.core.rate_limit.time.sleep", end_meanwhile)
    task_queue.drain()
    assert hangups(crm)[-1] == "busy"
