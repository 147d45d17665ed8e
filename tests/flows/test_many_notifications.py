"""A call of which UIS, or somebody who knows the webhook URL, tells a thousand times: each webhook costs the same."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from telephony.calls import stored_events
from telephony.models import Call, Notification
from telephony.uis import webhooks
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR

pytestmark = pytest.mark.sampled(1)


@pytest.fixture
def few(monkeypatch):
    """Keep few events of each kind, so that the tests need few notifications."""
    for event in stored_events.KEPT:
        monkeypatch.setitem(stored_events.KEPT, event, 3)


@pytest.fixture
def call(tenant, pbx):
    began = timezone.now() - timedelta(seconds=60)
    return pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[IVAN, PETR], wait=40)


@pytest.fixture
def read(monkeypatch):
    """Count the stored events that are read, and their bytes."""
    counted, load = [], stored_events.load

    def count(stored):
        counted.append(len(json.dumps(stored)))
        return load(stored)

    monkeypatch.setattr(stored_events, "load", count)
    return counted


def rings(call, count, *, first=0, at=None):
    """Return the notifications of a queue that rings Ivan again and again."""
    ring = call.notification("waiting", employee_id=IVAN, at=at)
    return [dict(ring, leg_id=1000 + number) for number in range(first, first + count)]


def kept(event):
    return Notification.objects.filter(event=event, parsed_event__isnull=False).count()


def test_limits_are_for_every_event_and_two_hundred_in_all():
    assert set(stored_events.KEPT) == set(webhooks.Event)
    assert sum(stored_events.KEPT.values()) == 200


@pytest.mark.parametrize("event", ["call_end", "waiting", "talk_started"])
def test_webhook_reads_the_same_with_few_and_with_many_notifications(notify, call, few, read, event, stranger):
    body = dict(call.notification("call_end" if event == "call_end" else "waiting"), event=event)
    costs = []
    notify(*rings(call, 5), call.notification("call_end"))
    for part in range(3):
        notify(*rings(call, 5, first=100 * (part + 1)))
        notify(*[dict(body, leg_id=5000 + part, wait_time_duration=41 + part, employee_id=PETR)])
        read.clear()
        notify(dict(body, leg_id=6000 + part, wait_time_duration=61 + part, employee_id=PETR), works=False)
        task_queue.process_notifications()
        costs.append((len(read), sum(read)))
    assert costs[1:] == [costs[1]] * 2
    assert costs[0][0] <= 3 * len(stored_events.KEPT)


def test_newest_of_each_kind_are_kept_and_the_others_say_so(notify, call, few):
    notify(*rings(call, 7, at=timezone.now()), call.notification("call_end"))
    rows = Notification.objects.filter(event="waiting").order_by("pk")
    assert [row.parsed_event is not None for row in rows] == [False] * 4 + [True] * 3
    assert [row.reason for row in rows] == ["SUPERSEDED", *["ALREADY_SHOWN"] * 6]
    assert [row.outcome for row in rows] == ["DONE", *["DROPPED"] * 6]
    assert (kept("waiting"), kept("call_end")) == (3, 1)


def test_call_with_superseded_events_is_decided_by_the_report(notify, crm, pbx, few, later, uis_world):
    """The notifications that are left tell of no talk: the report is asked, as for an answered call."""
    began = timezone.now() - timedelta(seconds=60)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[IVAN], talks=[(PETR, 40)])
    lost = dict(
        call.notification("call_end"), event="lost_call", is_lost=True, talk_time_duration=0, total_time_duration=None
    )
    notify(*rings(call, 4), lost)
    later(timedelta(minutes=1))
    assert [sent["result"] for sent in crm.calls] == ["answered"]


def test_missed_call_with_superseded_events_is_uploaded_with_the_owner_of_the_report(notify, crm, call, few, later):
    notify(*rings(call, 9), call.notification("lost_call"))
    later(timedelta(minutes=1))
    assert [(sent["result"], sent["code"]) for sent in crm.calls] == [("no answer", "102")]
    assert Call.objects.get().has_legs


def test_ring_beyond_the_limit_still_opens_its_popup(notify, crm, call, few):
    notify(*rings(call, 6))
    last = dict(call.notification("waiting", employee_id=PETR, at=timezone.now()), leg_id=7)
    notify(last)
    assert list(crm.popups()) == [28]


def test_event_that_was_superseded_before_its_popup_was_closed_is_closed(notify, crm, crm_world, call, few, later):
    """It waits for the CRM while others supersede it: what it says is read from its body again."""
    notify(call.notification("waiting", employee_id=PETR, at=timezone.now()))
    crm_world.break_down("503", path_part="call/event")
    ends = [dict(call.notification("call_end", at=timezone.now()), wait_time_duration=50 + n) for n in range(5)]
    notify(*ends)
    assert kept("call_end") == 3
    crm_world.repair()
    later(timedelta(minutes=2))
    assert crm.popups() == {28: [{"missed": True}]}
    assert not Notification.objects.filter(next_attempt_at__isnull=False).exists()


def test_long_list_of_employees_is_cut(notify, call):
    notify(dict(call.notification("lost_call"), employee_ids=list(range(1, 5000))))
    assert len(json.dumps(Notification.objects.get().parsed_event)) < 8000
