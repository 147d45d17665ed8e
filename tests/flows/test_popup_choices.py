"""When a pop-up opens: on ringing, on answer or never, by the client's rules or the employee's own choice."""

import itertools
import random
from datetime import timedelta

import pytest
from django.utils import timezone

from crm.models import Popup
from telephony.models import Notification
from tenants.models import Employee, Tenant
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.queries import texts
from tests.rules import publish_rules

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]


@pytest.fixture
def ringing(pbx):
    """A call that rings Ivan and Petr and is answered by Petr."""
    return pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR], talks=[(PETR, 30)])


@pytest.fixture
def outgoing(pbx):
    return pbx.call(contact=CONTACT, number=NUMBER, direction="out", talks=[(IVAN, 5)])


def set_rules(**values):
    publish_rules(Tenant.objects.get(slug="romashka"), **values)


def set_own(choice, uis_id=PETR):
    Employee.objects.filter(tenant__slug="romashka", uis_id=uis_id).update(popup=choice)


def told(call, event, uis_id=None, *, at=None, **fields):
    return call.notification(event, employee_id=uis_id, at=at or timezone.now()) | fields


def kinds(crm):
    return [event["type"] for event in crm.events]


def reasons(event):
    return list(Notification.objects.filter(event=event).order_by("pk").values_list("reason", flat=True))


def test_popup_on_answer_opens_for_who_answers_and_for_nobody_before(notify, crm, ringing, tenant, stranger):
    set_rules(popup_incoming="ON_ANSWER")
    notify(told(ringing, "waiting", IVAN), told(ringing, "waiting", PETR))
    assert (crm.events, reasons("waiting")) == ([], ["ON_ANSWER", "ON_ANSWER"])
    notify(told(ringing, "talk_started", PETR))
    (event,) = crm.events
    assert {name: event[name] for name in ("type", "phone", "codes", "userIds", "externalPhone", "callExternalId")} == {
        "type": "in",
        "phone": f"+{CONTACT}",
        "codes": ["102"],
        "userIds": [28],
        "externalPhone": f"+{NUMBER}",
        "callExternalId": f"uis-{ringing.session_id}",
    }
    notify(told(ringing, "call_end"))
    assert (kinds(crm), crm.popups(), crm.events[-1]["hangupStatus"]) == (["in", "hangup"], {}, "answered")


def test_outgoing_popup_on_answer_opens_when_the_customer_answers(notify, crm, outgoing, tenant):
    set_rules(popup_outgoing="ON_ANSWER")
    notify(told(outgoing, "outgoing", IVAN))
    assert crm.events == []
    notify(told(outgoing, "talk_started", IVAN), told(outgoing, "call_end"))
    assert kinds(crm) == ["out", "hangup"]


def test_choices_of_the_directions_are_apart(notify, crm, ringing, outgoing, tenant):
    set_rules(popup_incoming="OFF", popup_outgoing="ON_ANSWER")
    notify(told(ringing, "waiting", PETR), told(ringing, "talk_started", PETR))
    assert (crm.events, reasons("waiting"), reasons("talk_started")) == ([], ["RULE"], [""])
    notify(told(outgoing, "talk_started", IVAN))
    assert kinds(crm) == ["out"]


OPENS_AT = {"ON_RING": "waiting", "ON_ANSWER": "talk_started", "OFF": None}


@pytest.mark.parametrize("own", ["", *OPENS_AT])
@pytest.mark.parametrize("of_client", OPENS_AT)
def test_own_choice_wins_over_the_clients(notify, crm, ringing, tenant, own, of_client):
    set_rules(popup_incoming=of_client)
    set_own(own)
    set_own("OFF", IVAN)
    opened_at = None
    for event in ("waiting", "talk_started"):
        notify(told(ringing, event, PETR))
        opened_at = opened_at or (event if crm.popups() else None)
    assert opened_at == OPENS_AT[own or of_client]
    assert len(crm.events) == (opened_at is not None)
    notify(told(ringing, "call_end"))
    assert crm.popups() == {}


@pytest.mark.parametrize("own", ["ON_RING", "ON_ANSWER", "OFF"])
def test_own_choice_is_for_outgoing_calls_too(notify, crm, outgoing, tenant, own):
    set_own(own, IVAN)
    notify(told(outgoing, "outgoing", IVAN))
    assert len(crm.events) == (own == "ON_RING")
    notify(told(outgoing, "talk_started", IVAN))
    assert len(crm.events) == (own != "OFF")


def test_choice_of_another_client_changes_nothing(notify, crm, ringing, tenant, twin):
    Employee.objects.filter(tenant=twin).update(popup="OFF")
    publish_rules(twin, popup_incoming="ON_ANSWER")
    notify(told(ringing, "waiting", PETR))
    assert list(crm.popups()) == [28]


ANSWER_ORDERS = [
    ("waiting", "talk_started", "call_end"),
    ("talk_started", "waiting", "call_end"),
    ("talk_started", "call_end"),
    ("talk_started", "call_end", "waiting"),
    ("waiting", "call_end", "talk_started"),
    ("call_end", "waiting", "talk_started"),
    ("call_end", "talk_started"),
    ("waiting", "call_end"),
    ("waiting", "waiting", "talk_started", "talk_started", "call_end", "waiting", "talk_started"),
]


@pytest.mark.parametrize("choice", ["ON_RING", "ON_ANSWER", "OFF"])
@pytest.mark.parametrize("order", ANSWER_ORDERS, ids=" ".join)
def test_any_order_gives_at_most_one_popup_closed_at_the_end(notify, crm, ringing, tenant, choice, order):
    set_rules(popup_incoming=choice)
    opener, before = OPENS_AT[choice], order[: order.index("call_end")]
    notify(*(told(ringing, event, PETR if event != "call_end" else None, tag=n) for n, event in enumerate(order)))
    assert kinds(crm) == (["in", "hangup"] if opener in before else [])
    assert crm.popups() == {}
    assert not Popup.objects.exclude(state="CLOSED").exists()


@pytest.mark.parametrize("seed", range(8))
def test_random_orders_of_two_phones_leave_nothing_open(notify, pbx, crm, tenant, seed):
    rng = random.Random(seed)
    set_rules(popup_incoming=rng.choice(["ON_RING", "ON_ANSWER"]))
    for uis_id in (IVAN, PETR):
        set_own(rng.choice(["", "ON_RING", "ON_ANSWER", "OFF"]), uis_id)
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 9), (PETR, 9)])
    events = list(itertools.product(["waiting", "talk_started"], [IVAN, PETR]))
    began = timezone.now()
    moments = {pair: began + timedelta(milliseconds=10 * n) for n, pair in enumerate(events)}
    order = [*rng.sample(events, rng.randint(1, 4)), *rng.sample(events, rng.randint(0, 2))]
    for event, uis_id in order:
        notify(told(call, event, uis_id, at=moments[event, uis_id]))
        opened = [screen for screen in crm.popups().values() if any("missed" not in popup for popup in screen)]
        assert all(len(screen) == 1 for screen in opened)
    notify(told(call, "call_end"))
    assert crm.popups() == {}
    assert not Popup.objects.filter(state__in=["OPENING", "OPEN"]).exists()
    for user_id in (27, 28):
        own = [event["type"] for event in crm.events if user_id in event["userIds"]]
        assert own.count("in") == own.count("hangup")


def test_transfer_moves_the_popup_on_answer(notify, pbx, crm, tenant, later):
    set_rules(popup_incoming="ON_ANSWER")
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], talks=[(IVAN, 20), (PETR, 20), (IVAN, 5)])
    notify(told(call, "waiting", IVAN), told(call, "talk_started", IVAN))
    later(timedelta(seconds=20))
    notify(told(call, "waiting", PETR))
    assert list(crm.popups()) == [27]
    notify(told(call, "talk_started", PETR))
    assert list(crm.popups()) == [28]
    later(timedelta(seconds=20))
    notify(told(call, "talk_started", IVAN, leg_ids=[1234567]))
    assert list(crm.popups()) == [27]
    notify(told(call, "call_end"))
    assert crm.popups() == {}


def test_answer_reported_late_opens_no_popup(notify, crm, ringing, tenant):
    set_rules(popup_incoming="ON_ANSWER")
    notify(told(ringing, "talk_started", PETR, at=timezone.now() - timedelta(seconds=30)))
    assert (crm.events, reasons("talk_started")) == ([], ["STALE"])


def test_answer_told_without_an_employee_opens_no_popup(notify, crm, ringing, tenant):
    set_rules(popup_incoming="ON_ANSWER")
    notify(told(ringing, "talk_started", PETR, employee_id=None))
    assert (crm.events, reasons("talk_started")) == ([], [""])


@pytest.mark.parametrize(
    ("rules", "fields", "reason"),
    [
        ({"number_filter": "ONLY"}, {}, "RULE"),
        ({"employee_filter": "ONLY"}, {}, "RULE"),
        ({"contact_filter": "EXCEPT", "contacts": CONTACT}, {}, "RULE"),
        ({}, {"contact_phone_number": "anonymous"}, "RULE"),
        ({}, {"contact_phone_number": "79990000011"}, "RULE"),  # Ivan's own
        ({}, {"employee_id": 999}, "UNKNOWN_EMPLOYEE"),
    ],
)
def test_rules_skip_a_popup_on_answer_too(notify, crm, ringing, tenant, rules, fields, reason):
    set_rules(popup_incoming="ON_ANSWER", **rules)
    notify(told(ringing, "talk_started", PETR, **fields))
    assert (crm.events, reasons("talk_started")) == ([], [reason])


def test_popup_on_answer_is_for_nobody_without_a_user(notify, crm, pbx, tenant):
    """The extension is in the module for linked people only."""
    set_rules(popup_incoming="ON_ANSWER")
    call = pbx.call(contact=CONTACT, number=NUMBER, talks=[(ANNA, 30)])
    notify(told(call, "talk_started", ANNA))
    assert (crm.events, reasons("talk_started")) == ([], ["NOT_LINKED"])


def test_paused_client_gets_no_popup_on_answer(notify, crm, ringing, tenant):
    set_rules(popup_incoming="ON_ANSWER")
    type(tenant).objects.filter(pk=tenant.pk).update(is_paused=True)
    notify(told(ringing, "talk_started", PETR))
    assert (crm.events, reasons("talk_started")) == ([], ["PAUSED"])


@pytest.mark.slow
def test_outage_at_the_answer_opens_nothing_later(notify, crm, crm_world, ringing, tenant, later):
    set_rules(popup_incoming="ON_ANSWER")
    crm_world.break_down("503")
    notify(told(ringing, "talk_started", PETR))
    crm_world.repair()
    later(timedelta(minutes=2))
    assert (crm.events, crm.popups(), Popup.objects.get().state) == ([], {}, "FAILED")


@pytest.mark.parametrize("choice", ["", "ON_RING"])
def test_ring_asks_the_database_as_often_as_before(notify, run_queue, crm, ringing, tenant, choice):
    """One query finds the employee and whose number calls, one the events of the call."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from connector_project.operations import tasks

    set_own(choice)
    notify(told(ringing, "waiting", IVAN))
    notify(told(ringing, "waiting", PETR), works=False)
    stored = Notification.objects.latest("pk")
    with CaptureQueriesContext(connection) as queries:
        tasks.process_notification(stored.pk)
    tables = [sql for sql in texts(queries) if sql.startswith("SELECT")]
    assert sum('FROM "tenants_employee"' in sql for sql in tables) == 1
    assert sum("parsed_event" in sql and '"telephony_notification"."session_id" =' in sql for sql in tables) <= 3
    assert len(crm.events) == 2
