"""A ringing phone, from UIS's notification to the pop-up on the manager's screen, and its end."""

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.models import Popup
from crm.retailcrm.client import RetailCrmClient
from crm.retailcrm.types import EventType
from telephony.models import Call, Notification
from tenants.models import TransferRules, VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR


@pytest.fixture
def ringing(pbx):
    """A call that rings Ivan and Petr, and is answered by Petr."""
    return pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR], talks=[(PETR, 30)])


def told(call, event, employee_id=None):
    return call.notification(event, employee_id=employee_id, at=timezone.now())


def dropped():
    return list(Notification.objects.filter(outcome="DROPPED").values_list("reason", flat=True))


def test_card_opens_for_the_person_whose_phone_rings(notify, crm, ringing, tenant, stranger):
    VirtualNumber.objects.filter(number=NUMBER).update(site="shop-one")
    notify(told(ringing, "waiting", IVAN))
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
    assert list(crm.cards()) == [27]
    assert not Call.objects.exists()


def test_each_ringing_phone_gets_its_card_and_the_answer_closes_the_others(notify, crm, ringing):
    notify(told(ringing, "waiting", IVAN), told(ringing, "waiting", PETR))
    assert sorted(crm.cards()) == [27, 28]
    notify(told(ringing, "talk_started", PETR))
    assert list(crm.cards()) == [28]
    assert crm.events[-1]["hangupStatus"] == "answered"
    assert crm.events[-1]["codes"] == ["101"]
    notify(told(ringing, "call_end"))
    assert crm.cards() == {}
    assert crm.events[-1]["hangupStatus"] == "answered"


def test_missed_call_leaves_a_missed_card_with_everyone(notify, pbx, crm, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR])
    notify(told(call, "waiting", IVAN), told(call, "waiting", PETR), told(call, "lost_call"))
    assert [event["type"] for event in crm.events] == ["in", "in", "hangup"]
    assert (crm.events[-1]["hangupStatus"], crm.events[-1]["userIds"]) == ("no answered", [27, 28])
    assert crm.cards() == {27: [{"missed": True}], 28: [{"missed": True}]}
    notify(told(call, "call_end"))
    assert len(crm.events) == 3


def test_outgoing_call_shows_a_card_of_its_own_kind(notify, pbx, crm, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, direction="out", talks=[(IVAN, 5)])
    notify(told(call, "outgoing", IVAN))
    assert (crm.events[0]["type"], crm.events[0]["codes"]) == ("out", ["101"])


def test_transfer_opens_a_card_for_the_next_one_and_closes_the_first(notify, pbx, crm, later, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 52), (PETR, 202)])
    notify(told(call, "waiting", IVAN), told(call, "talk_started", IVAN))
    later(timedelta(seconds=52))
    notify(told(call, "waiting", PETR))
    assert sorted(crm.cards()) == [27, 28]
    notify(told(call, "talk_started", PETR))
    assert list(crm.cards()) == [28]


def test_repeat_of_a_ring_opens_no_second_card(notify, crm, ringing, tenant):
    body = told(ringing, "waiting", IVAN)
    notify(body, body, dict(body, notification_name="again"))
    assert len(crm.events) == 1
    assert sorted(Notification.objects.values_list("outcome", "repeats")) == [("DONE", 1), ("REPEATED", 0)]


def test_second_phone_of_one_person_opens_no_second_card(notify, crm, ringing, tenant):
    body = told(ringing, "waiting", IVAN)
    notify(body, dict(body, leg_id=99))
    assert len(crm.events) == 1
    assert dropped() == ["ALREADY_SHOWN"]


def test_old_ring_never_pops_up(notify, run_queue, crm, ringing, later):
    notify(told(ringing, "waiting", IVAN), works=False)
    later(timedelta(seconds=11))
    run_queue()
    assert crm.events == []
    assert dropped() == ["STALE"]


def test_ring_told_late_by_uis_never_pops_up(notify, crm, ringing, tenant):
    notify(ringing.notification("waiting", employee_id=IVAN, at=timezone.now() - timedelta(seconds=30)))
    assert (crm.events, dropped()) == ([], ["STALE"])


def test_ring_after_the_end_never_pops_up(notify, crm, ringing, tenant):
    notify(told(ringing, "call_end"), told(ringing, "waiting", IVAN))
    assert (crm.events, dropped()) == ([], ["CALL_OVER"])


def test_ring_after_a_colleagues_answer_never_pops_up(notify, crm, ringing, tenant):
    early = told(ringing, "waiting", IVAN)
    notify(told(ringing, "talk_started", PETR), early)
    assert (crm.events, dropped()) == ([], ["COLLEAGUE_ANSWERED"])


def test_end_that_comes_while_the_card_is_on_its_way_closes_it(notify, crm, ringing, tenant, monkeypatch):
    """The fast queue has several workers: the end may be processed before the pop-up was sent."""
    notify(told(ringing, "waiting", IVAN), works=False)
    ends = iter([True])

    def end_meanwhile(_seconds):
        if next(ends, False):
            notify(told(ringing, "call_end"), works=False)
            task_queue.drain(pick=lambda task: task.endswith("close_popups"))

    monkeypatch.setattr("connector_project.core.rate_limit.time.sleep", end_meanwhile)
    task_queue.drain()
    assert [event["type"] for event in crm.events] == ["hangup", "in", "hangup"]
    assert crm.cards() == {}


def test_crm_that_fails_to_close_a_card_right_after_it_opened_is_noted(
    notify, crm, crm_world, ringing, tenant, later, monkeypatch
):
    sent = RetailCrmClient.send_event

    def send(self, event):
        if event.type == EventType.IN:
            notify(told(ringing, "call_end"), works=False)
        answer = sent(self, event)
        crm_world.break_down("503", path_part="call/event")
        return answer

    monkeypatch.setattr(RetailCrmClient, "send_event", send)
    notify(told(ringing, "waiting", IVAN))
    card = Popup.objects.get()
    assert (card.state, list(crm.cards())) == (Popup.State.OPEN, [27])
    assert card.detail
    monkeypatch.undo()
    crm_world.repair()
    later(timedelta(minutes=2))
    assert crm.cards() == {}


@pytest.mark.parametrize("event", ["call_end", "talk_started"])
def test_what_becomes_of_another_clients_call_of_the_same_session_keeps_no_card_back(
    client, notify, crm, ringing, twin, twin_pbx, run_queue, event
):
    ring = told(ringing, "waiting", IVAN)
    same = twin_pbx.call(contact=CONTACT, number=NUMBER, talks=[(PETR, 30)], session_id=ringing.session_id)
    body = told(same, event, PETR if event == "talk_started" else None)
    assert client.post(f"/hooks/uis/{twin.uis.hook}/", body, content_type="application/json").status_code == 200
    run_queue()
    notify(ring)
    assert (list(crm.cards()), dropped()) == ([27], [])


def test_crm_away_loses_the_card_but_not_the_call(notify, crm, crm_world, ringing, tenant, later):
    crm_world.break_down("timeout")
    notify(told(ringing, "waiting", IVAN), told(ringing, "call_end"))
    assert dropped() == ["CRM_FAILED"]
    assert Popup.objects.get().state == Popup.State.FAILED
    crm_world.repair()
    later(timedelta(minutes=2))
    assert [event["type"] for event in crm.events] == []
    assert len(crm.calls) == 1


def test_card_that_could_not_be_closed_is_closed_by_the_sweep(notify, crm, crm_world, ringing, later):
    notify(told(ringing, "waiting", IVAN))
    crm_world.break_down("503")
    notify(told(ringing, "call_end"))
    assert list(crm.cards()) == [27]
    crm_world.repair()
    later(timedelta(minutes=2))
    assert crm.cards() == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"popup_incoming": "OFF"}, "POPUP_OFF"),
        ({"number_filter": "ONLY"}, "NUMBER"),
        ({"employee_filter": "ONLY"}, "EMPLOYEE"),
        ({"contact_filter": "EXCEPT", "contacts": "8 (999) 000-00-01"}, "CONTACT"),
    ],
)
def test_rules_keep_a_card_back_by_name(notify, crm, ringing, tenant, change, reason):
    TransferRules.objects.filter(tenant=tenant).update(**change)
    notify(told(ringing, "waiting", IVAN))
    assert crm.events == []
    assert list(Notification.objects.values_list("reason", "detail")) == [("RULE", reason)]


def test_paused_client_gets_no_cards_but_keeps_everything(notify, crm, ringing, tenant):
    type(tenant).objects.update(is_paused=True)
    notify(told(ringing, "waiting", IVAN), told(ringing, "call_end"))
    assert (crm.events, crm.calls, dropped()) == ([], [], ["PAUSED"])
    assert Notification.objects.count() == 2


@pytest.mark.parametrize(("employee_id", "reason"), [(None, "NO_EMPLOYEE"), (999, "UNKNOWN_EMPLOYEE")])
def test_ring_without_a_known_person_is_dropped_with_the_reason(notify, crm, ringing, tenant, employee_id, reason):
    notify(dict(told(ringing, "waiting", IVAN), employee_id=employee_id))
    assert (crm.events, dropped()) == ([], [reason])


def test_person_whom_the_crm_does_not_know_is_noted(notify, crm, ringing, tenant):
    ring = dict(told(ringing, "waiting", IVAN), employee_id=ANNA)
    notify(ring)
    assert Popup.objects.get().unknown == ["103"]


def test_the_cards_own_times_are_kept(notify, crm, ringing, tenant):
    notify(told(ringing, "waiting", IVAN))
    card = Popup.objects.get()
    assert card.received_at <= card.sent_at <= card.accepted_at
    assert abs(card.ringing_at - card.received_at) < timedelta(seconds=2)


def test_refused_key_shuts_the_door_and_is_told(notify, crm, ringing, tenant):
    crm.key = "another"
    notify(told(ringing, "waiting", IVAN))
    tenant.crm.refresh_from_db()
    assert (tenant.crm.denied_code, dropped()) == ("key", ["CRM_FAILED"])
    notify(told(ringing, "waiting", PETR))
    assert dropped()[-1] in {"CRM_FAILED", "CRM_DENIED"}
    assert "CRM_DENIED" in dropped()


def test_refused_key_at_the_end_gives_the_cards_up(notify, crm, ringing, tenant):
    notify(told(ringing, "waiting", IVAN))
    crm.key = "another"
    notify(told(ringing, "call_end"))
    assert dropped() == ["CRM_FAILED"]


def test_cards_are_given_up_after_ten_minutes(notify, crm, crm_world, ringing, later):
    notify(told(ringing, "waiting", IVAN))
    crm_world.break_down("503", path_part="call/event")
    notify(told(ringing, "talk_started", PETR))
    for _minute in range(13):
        later(timedelta(minutes=1))
    assert dropped() == ["STALE"]


def test_person_who_is_called_back_in_one_call_gets_a_second_card(notify, pbx, crm, later, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(PETR, 5), (IVAN, 5)])
    notify(told(call, "waiting", IVAN), told(call, "talk_started", PETR))
    later(timedelta(seconds=20))
    notify(dict(told(call, "waiting", IVAN), leg_id=1234567))
    assert [event["type"] for event in crm.events] == ["in", "hangup", "in"]


def test_answer_without_a_name_closes_nobodys_card(notify, crm, ringing, tenant):
    notify(told(ringing, "waiting", IVAN), told(ringing, "waiting", PETR))
    notify(dict(told(ringing, "talk_started", PETR), employee_id=None))
    assert sorted(crm.cards()) == [27, 28]
    notify(told(ringing, "call_end"))
    assert crm.cards() == {}
