"""A ringing phone, from UIS's notification to the pop-up on the manager's screen, and its end."""

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.models import Popup
from crm.retailcrm.client import RetailCrmClient
from crm.retailcrm.payloads import EventType
from telephony.models import Call, Notification
from telephony.webhooks import process
from tenants.models import VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules


@pytest.fixture
def ringing(pbx):
    """A call that rings Ivan and Petr and is answered by Petr."""
    return pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR], talks=[(PETR, 30)])


def notification_of(call, event, employee_id=None):
    return call.notification(event, employee_id=employee_id, at=timezone.now())


def dropped():
    return list(Notification.objects.filter(outcome="DROPPED").values_list("reason", flat=True))


def test_popup_opens_for_the_rung_employee(notify, crm, ringing, tenant, stranger):
    VirtualNumber.objects.filter(number=NUMBER).update(site="shop-one")
    notify(notification_of(ringing, "waiting", IVAN))
    event = {name: value for name, value in crm.events[0].items() if not name.startswith("_")}
    assert event == {
        "type": "in",
        "phone": f"+{CONTACT}",
        "codes": ["101"],
        "userIds": [27],
        "externalPhone": f"+{NUMBER}",
        "callExternalId": f"uis-{ringing.session_id}",
        "site": "shop-one",
    }
    assert list(crm.popups()) == [27]
    assert not Call.objects.exists()


def test_answer_closes_the_popups_of_the_others(notify, crm, ringing):
    notify(notification_of(ringing, "waiting", IVAN), notification_of(ringing, "waiting", PETR))
    assert sorted(crm.popups()) == [27, 28]
    notify(notification_of(ringing, "talk_started", PETR))
    assert list(crm.popups()) == [28]
    assert crm.events[-1]["hangupStatus"] == "answered"
    assert crm.events[-1]["codes"] == ["101"]
    notify(notification_of(ringing, "call_end"))
    assert crm.popups() == {}
    assert crm.events[-1]["hangupStatus"] == "answered"


def test_missed_call_leaves_a_missed_popup_for_everyone(notify, pbx, crm, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR])
    notify(
        notification_of(call, "waiting", IVAN),
        notification_of(call, "waiting", PETR),
        notification_of(call, "lost_call"),
    )
    assert [event["type"] for event in crm.events] == ["in", "in", "hangup"]
    assert (crm.events[-1]["hangupStatus"], crm.events[-1]["userIds"]) == ("no answered", [27, 28])
    assert crm.popups() == {27: [{"missed": True}], 28: [{"missed": True}]}
    notify(notification_of(call, "call_end"))
    assert len(crm.events) == 3


@pytest.mark.parametrize("macro", ["lost_reason", "finish_reason"])
@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("operator_busy", "busy"),
        ("employee_busy_after_call", "busy"),
        ("subscriber_disconnects", "cancel"),
        ("caller_disconnects", "cancel"),
        (" Operator_Disconnects ", "cancel"),
        ("sip_offline", "failed"),
        ("internal_error", "failed"),
        ("operator_not_responsive", "no answered"),
        ("employee_status_break", "no answered"),
        ("Клиент не дождался", "no answered"),
        ("", "no answered"),
        (None, "no answered"),
        ("{{lost_reason}}", "no answered"),
    ],
)
def test_end_of_a_missed_call_has_the_status_of_its_reason_for_everybody(
    notify, pbx, crm, tenant, macro, reason, status
):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR])
    notify(notification_of(call, "waiting", IVAN), notification_of(call, "waiting", PETR))
    notify(notification_of(call, "lost_call") | {macro: reason})
    assert (crm.events[-1]["hangupStatus"], crm.events[-1]["userIds"]) == (status, [27, 28])
    assert set(Popup.objects.values_list("hangup", flat=True)) == {status}


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("subscriber_busy", "busy"),
        ("operator_disconnects", "cancel"),
        ("subscriber_number_problems", "failed"),
        ("no_money", "failed"),
        ("out_call_not_allowed_by_status", "failed"),
        ("subscriber_not_responsible", "no answered"),
        (None, "no answered"),
    ],
)
@pytest.mark.parametrize("is_lost", [True, False, None])
def test_end_of_an_outgoing_call_without_a_talk_has_the_status_of_its_reason(
    notify, pbx, crm, tenant, reason, status, is_lost
):
    call = pbx.call(contact=CONTACT, number=NUMBER, direction="out", rings=[IVAN])
    notify(notification_of(call, "outgoing", IVAN))
    notify(notification_of(call, "call_end") | {"finish_reason": reason, "is_lost": is_lost})
    assert [event["hangupStatus"] for event in crm.events if event["type"] == "hangup"] == [status]


@pytest.mark.parametrize("reason", ["operator_busy", "subscriber_disconnects", "internal_error"])
@pytest.mark.parametrize("direction", ["in", "out"])
def test_end_of_a_talk_is_answered_whatever_the_reason(notify, pbx, crm, tenant, reason, direction):
    call = pbx.call(contact=CONTACT, number=NUMBER, direction=direction, talks=[(IVAN, 5)])
    notify(notification_of(call, "waiting" if direction == "in" else "outgoing", IVAN))
    notify(notification_of(call, "call_end") | {"finish_reason": reason})
    assert crm.events[-1]["hangupStatus"] == "answered"


def test_outgoing_call_opens_an_outgoing_popup(notify, pbx, crm, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, direction="out", talks=[(IVAN, 5)])
    notify(notification_of(call, "outgoing", IVAN))
    assert (crm.events[0]["type"], crm.events[0]["codes"]) == ("out", ["101"])


def test_transfer_opens_the_next_popup_and_closes_the_first(notify, pbx, crm, later, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 52), (PETR, 202)])
    notify(notification_of(call, "waiting", IVAN), notification_of(call, "talk_started", IVAN))
    later(timedelta(seconds=52))
    notify(notification_of(call, "waiting", PETR))
    assert sorted(crm.popups()) == [27, 28]
    notify(notification_of(call, "talk_started", PETR))
    assert list(crm.popups()) == [28]


def test_consultation_closes_the_popup_of_who_asks_as_a_transfer_does(notify, pbx, crm, later, tenant):
    """The notifications of a consultation are those of a transfer. Who gets the customer back rings, and nothing stays
    open after the call; the record is of who talked at the end (tests/telephony/test_legs.py)."""
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 52), (PETR, 20), (IVAN, 30)])
    notify(notification_of(call, "waiting", IVAN), notification_of(call, "talk_started", IVAN))
    later(timedelta(seconds=52))
    notify(notification_of(call, "waiting", PETR), notification_of(call, "talk_started", PETR))
    assert list(crm.popups()) == [28]
    later(timedelta(seconds=20))
    notify(dict(notification_of(call, "waiting", IVAN), leg_id=1234567))
    assert sorted(crm.popups()) == [27, 28]
    notify(dict(notification_of(call, "talk_started", IVAN), leg_ids=[1234567]))
    assert list(crm.popups()) == [27]
    notify(notification_of(call, "call_end"))
    assert crm.popups() == {}


def test_repeated_ringing_event_opens_no_second_popup(notify, crm, ringing, tenant):
    body = notification_of(ringing, "waiting", IVAN)
    notify(body, body, dict(body, notification_name="again"))
    assert len(crm.events) == 1
    assert sorted(Notification.objects.values_list("outcome", "repeats")) == [("DONE", 1), ("REPEATED", 0)]


def test_second_phone_of_an_employee_opens_no_second_popup(notify, crm, ringing, tenant):
    body = notification_of(ringing, "waiting", IVAN)
    notify(body, dict(body, leg_id=99))
    assert len(crm.events) == 1
    assert dropped() == ["ALREADY_SHOWN"]


def test_ringing_event_processed_late_opens_no_popup(notify, run_queue, crm, ringing, later):
    notify(notification_of(ringing, "waiting", IVAN), works=False)
    later(timedelta(seconds=11))
    run_queue()
    assert crm.events == []
    assert dropped() == ["STALE"]


def test_ringing_event_reported_late_opens_no_popup(notify, crm, ringing, tenant):
    notify(ringing.notification("waiting", employee_id=IVAN, at=timezone.now() - timedelta(seconds=30)))
    assert (crm.events, dropped()) == ([], ["STALE"])


def test_ringing_event_after_the_end_opens_no_popup(notify, crm, ringing, tenant):
    notify(notification_of(ringing, "call_end"), notification_of(ringing, "waiting", IVAN))
    assert (crm.events, dropped()) == ([], ["CALL_OVER"])


def test_ringing_event_after_a_colleagues_answer_opens_no_popup(notify, crm, ringing, tenant):
    early = notification_of(ringing, "waiting", IVAN)
    notify(notification_of(ringing, "talk_started", PETR), early)
    assert (crm.events, dropped()) == ([], ["COLLEAGUE_ANSWERED"])


def test_end_during_opening_closes_the_popup(notify, crm, ringing, tenant, monkeypatch):
    """The fast queue has several workers: the end may be processed before the pop-up was sent."""
    notify(notification_of(ringing, "waiting", IVAN), works=False)
    ends = iter([True])

    def end_meanwhile(_seconds):
        if next(ends, False):
            notify(notification_of(ringing, "call_end"), works=False)
            task_queue.process_notifications()

    monkeypatch.setattr("connector_project.core.rate_limit.time.sleep", end_meanwhile)
    task_queue.drain()
    assert [event["type"] for event in crm.events] == ["hangup", "in", "hangup"]
    assert crm.popups() == {}


@pytest.mark.slow
def test_failed_close_after_opening_is_logged(notify, crm, crm_world, ringing, tenant, later, monkeypatch):
    sent = RetailCrmClient.send_event

    def send(self, event):
        if event.type == EventType.IN:
            notify(notification_of(ringing, "call_end"), works=False)
            process.process(Notification.objects.latest("pk").pk, now=timezone.now())  # its worker dies at the pop-up
        answer = sent(self, event)
        crm_world.break_down("503", path_part="call/event")
        return answer

    monkeypatch.setattr(RetailCrmClient, "send_event", send)
    notify(notification_of(ringing, "waiting", IVAN))
    popup = Popup.objects.get()
    assert (popup.state, list(crm.popups())) == (Popup.State.OPEN, [27])
    assert popup.detail
    monkeypatch.undo()
    crm_world.repair()
    later(timedelta(minutes=2))
    assert crm.popups() == {}


@pytest.mark.parametrize("event", ["call_end", "talk_started"])
def test_same_session_of_another_tenant_skips_no_popup(client, notify, crm, ringing, twin, twin_pbx, run_queue, event):
    ring = notification_of(ringing, "waiting", IVAN)
    same = twin_pbx.call(contact=CONTACT, number=NUMBER, talks=[(PETR, 30)], session_id=ringing.session_id)
    body = notification_of(same, event, PETR if event == "talk_started" else None)
    assert client.post(f"/hooks/uis/{twin.uis.hook}/", body, content_type="application/json").status_code == 200
    run_queue()
    notify(ring)
    assert (list(crm.popups()), dropped()) == ([27], [])


def test_unavailable_crm_loses_the_popup_but_not_the_call(notify, crm, crm_world, ringing, tenant, later):
    crm_world.break_down("timeout")
    notify(notification_of(ringing, "waiting", IVAN), notification_of(ringing, "call_end"))
    assert dropped() == ["CRM_FAILED"]
    assert Popup.objects.get().state == Popup.State.FAILED
    crm_world.repair()
    later(timedelta(minutes=2))
    assert [event["type"] for event in crm.events] == []
    assert len(crm.calls) == 1


def test_popup_that_failed_to_close_is_closed_by_the_sweep(notify, crm, crm_world, ringing, later):
    notify(notification_of(ringing, "waiting", IVAN))
    crm_world.break_down("503")
    notify(notification_of(ringing, "call_end"))
    assert list(crm.popups()) == [27]
    crm_world.repair()
    later(timedelta(minutes=2))
    assert crm.popups() == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"popup_incoming": "OFF"}, "POPUP_OFF"),
        ({"number_filter": "ONLY"}, "NUMBER"),
        ({"employee_filter": "ONLY"}, "EMPLOYEE"),
        ({"contact_filter": "EXCEPT", "contacts": "8 (999) 000-00-01"}, "CONTACT"),
    ],
)
def test_popup_skipped_by_a_rule_has_the_reason(notify, crm, ringing, tenant, change, reason):
    publish_rules(tenant, **change)
    notify(notification_of(ringing, "waiting", IVAN))
    assert crm.events == []
    assert list(Notification.objects.values_list("reason", "detail")) == [("RULE", f"{reason}:2")]


def test_paused_tenant_gets_no_popups_but_keeps_events(notify, crm, ringing, tenant):
    type(tenant).objects.update(is_paused=True)
    notify(notification_of(ringing, "waiting", IVAN), notification_of(ringing, "call_end"))
    assert (crm.events, crm.calls, dropped()) == ([], [], ["PAUSED"])
    assert Notification.objects.count() == 2


@pytest.mark.parametrize(("employee_id", "reason"), [(None, "NO_EMPLOYEE"), (999, "UNKNOWN_EMPLOYEE")])
def test_ringing_event_without_a_known_employee_is_dropped_with_the_reason(
    notify, crm, ringing, tenant, employee_id, reason
):
    notify(dict(notification_of(ringing, "waiting", IVAN), employee_id=employee_id))
    assert (crm.events, dropped()) == ([], [reason])


def test_user_unknown_to_the_crm_is_recorded(notify, crm, ringing, tenant):
    del crm.users[27]
    notify(notification_of(ringing, "waiting", IVAN))
    assert Popup.objects.get().unknown == ["101", 27]


def test_employee_without_a_crm_user_gets_no_popup(notify, crm, ringing, tenant):
    notify(dict(notification_of(ringing, "waiting", IVAN), employee_id=ANNA))
    assert (crm.events, dropped()) == ([], ["NOT_LINKED"])


def test_popup_times_are_stored(notify, crm, ringing, tenant):
    notify(notification_of(ringing, "waiting", IVAN))
    popup = Popup.objects.get()
    assert popup.received_at <= popup.sent_at <= popup.accepted_at
    assert abs(popup.ringing_at - popup.received_at) < timedelta(seconds=2)


def test_rejected_key_suspends_the_connection(notify, crm, ringing, tenant):
    crm.key = "another"
    notify(notification_of(ringing, "waiting", IVAN))
    tenant.crm.refresh_from_db()
    assert (tenant.crm.denied_code, dropped()) == ("key", ["CRM_FAILED"])
    notify(notification_of(ringing, "waiting", PETR))
    assert dropped()[-1] in {"CRM_FAILED", "CRM_DENIED"}
    assert "CRM_DENIED" in dropped()


def test_rejected_key_at_the_end_abandons_the_popups(notify, crm, ringing, tenant):
    notify(notification_of(ringing, "waiting", IVAN))
    crm.key = "another"
    notify(notification_of(ringing, "call_end"))
    assert dropped() == ["CRM_FAILED"]


def test_popups_are_abandoned_after_ten_minutes(notify, crm, crm_world, ringing, later):
    notify(notification_of(ringing, "waiting", IVAN))
    crm_world.break_down("503", path_part="call/event")
    notify(notification_of(ringing, "talk_started", PETR))
    for _minute in range(13):
        later(timedelta(minutes=1))
    assert dropped() == ["STALE"]


def test_employee_rung_again_in_one_call_gets_a_second_popup(notify, pbx, crm, later, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(PETR, 5), (IVAN, 5)])
    notify(notification_of(call, "waiting", IVAN), notification_of(call, "talk_started", PETR))
    later(timedelta(seconds=20))
    notify(dict(notification_of(call, "waiting", IVAN), leg_id=1234567))
    assert [event["type"] for event in crm.events] == ["in", "hangup", "in"]


def test_answer_without_an_employee_closes_no_popup(notify, crm, ringing, tenant):
    notify(notification_of(ringing, "waiting", IVAN), notification_of(ringing, "waiting", PETR))
    notify(dict(notification_of(ringing, "talk_started", PETR), employee_id=None))
    assert sorted(crm.popups()) == [27, 28]
    notify(notification_of(ringing, "call_end"))
    assert crm.popups() == {}


def menu_and_call(pbx, *, rings_at=15):
    """A menu ends after ten seconds, which UIS reports as a lost call; then Ivan's phone rings."""
    began = timezone.now() - timedelta(seconds=rings_at)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[IVAN], talks=[(IVAN, 30)])
    menu = dict(
        call.notification("call_end"),
        event="lost_call",
        is_lost=True,
        talk_time_duration=0,
        total_time_duration=None,
        employee_ids=[],
    )
    menu["notification_time"] = pbx.stamp(began + timedelta(seconds=10))
    return menu, call.notification("waiting", employee_id=IVAN, at=began + timedelta(seconds=rings_at)), call


def test_ring_after_the_menus_end_opens_a_popup_until_the_call_ends(notify, pbx, crm, tenant, later, stranger):
    menu, ring, call = menu_and_call(pbx)
    notify(menu, ring)
    assert (list(crm.popups()), dropped()) == ([27], [])
    later(timedelta(seconds=30))
    notify(notification_of(call, "call_end"))
    assert (crm.popups(), [event["type"] for event in crm.events]) == ({}, ["in", "hangup"])


def test_menus_end_that_arrives_after_the_ring_closes_no_popup(notify, pbx, crm, tenant):
    menu, ring, _call = menu_and_call(pbx)
    notify(ring, menu)
    assert (list(crm.popups()), [event["type"] for event in crm.events]) == ([27], ["in"])


def test_menus_end_during_opening_closes_no_popup(notify, pbx, crm, tenant, monkeypatch):
    menu, ring, _call = menu_and_call(pbx)
    sent = RetailCrmClient.send_event

    def send(self, event):
        notify(menu, works=False)
        process.process(Notification.objects.latest("pk").pk, now=timezone.now())
        return sent(self, event)

    monkeypatch.setattr(RetailCrmClient, "send_event", send)
    notify(ring)
    assert (list(crm.popups()), [event["type"] for event in crm.events]) == ([27], ["in"])


def test_ring_a_second_after_the_end_opens_no_popup(notify, pbx, crm, tenant):
    menu, ring, _call = menu_and_call(pbx, rings_at=11)
    notify(menu, ring)
    assert (crm.events, dropped()) == ([], ["CALL_OVER"])


def test_second_end_after_a_ring_closes_the_popup(notify, pbx, crm, tenant):
    menu, ring, _call = menu_and_call(pbx)
    hung_up = dict(menu, wait_time_duration=99, notification_time=pbx.stamp(timezone.now() + timedelta(seconds=3)))
    notify(menu, ring, hung_up)
    assert crm.popups() == {27: [{"missed": True}]}


def test_ring_without_a_time_after_an_end_opens_no_popup(notify, pbx, crm, tenant):
    """Nothing tells that it rang after the end, and not before: a template without `notification_time`."""
    menu, ring, _call = menu_and_call(pbx)
    notify(menu, dict(ring, notification_time=None))
    assert (crm.events, dropped()) == ([], ["CALL_OVER"])
