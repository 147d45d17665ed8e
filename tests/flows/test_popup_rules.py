"""One rule decides which calls pass, for pop-ups and for uploads: internal calls, hidden numbers, lists, directions."""

import random

import pytest
from django.utils import timezone

from crm.models import Popup
from telephony.models import Call, Notification
from telephony.uis.types import Event
from tenants.models import Employee, Tenant, VirtualNumber
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]

OTHER_NUMBER = "74950000002"
IVANS_MOBILE, IVANS_LOGIN, LONG_LOGIN = "79990000011", "612345", "0612345"


@pytest.fixture
def play(notify, pbx, crm, tenant, later):
    """Ring Petr, who answers or not, and end the call; return whether there was a pop-up, and an upload."""
    pbx.employees[IVAN]["phone_numbers"] += [
        {**pbx.employees[IVAN]["phone_numbers"][0], "phone_number": login} for login in (IVANS_LOGIN, LONG_LOGIN)
    ]
    own = [IVANS_MOBILE, IVANS_LOGIN, LONG_LOGIN]
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(numbers=own)

    def send(*, contact=CONTACT, number=NUMBER, direction="in", answered=True, ring=None, **fields):
        talks = [(PETR, 5)] if answered else []
        call = pbx.call(contact=contact, number=number, direction=direction, rings=[PETR], talks=talks, **fields)
        event = "waiting" if direction == "in" else "outgoing"
        notify(call.notification(event, employee_id=PETR, at=timezone.now()) | (ring or {}))
        is_shown = bool(crm.events)
        notify(call.notification("call_end", at=timezone.now()))
        assert crm.popups() == {} or not answered
        return is_shown, bool(crm.calls)

    return send


def set_rules(**values):
    publish_rules(Tenant.objects.get(slug="romashka"), **values)


def skipped_by():
    """Return the rule that each of the two was skipped by."""
    ring = Notification.objects.get(event__in=[Event.WAITING, Event.OUTGOING])
    assert ring.reason == "RULE"
    return {ring.suppressed_by[0], Call.objects.get().skip_reason}


COLLEAGUES = [IVANS_MOBILE, IVANS_LOGIN, LONG_LOGIN, "101", OTHER_NUMBER, NUMBER]


@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("contact", COLLEAGUES)
def test_call_of_a_colleague_is_internal_for_both(play, stranger, contact, direction, answered):
    assert play(contact=contact, direction=direction, answered=answered) == (False, False)
    assert skipped_by() == {"INTERNAL_OFF"}


@pytest.mark.parametrize(
    "written", ["+79990000011", "+7 999 000-00-11", "79990000011", "7999000-0011", "+7 (999) 0000011"]
)
def test_colleague_is_known_in_any_spelling(play, written):
    assert play(contact=IVANS_MOBILE, ring={"contact_phone_number": written}) == (False, False)


@pytest.mark.parametrize("seed", range(5))
def test_drawn_number_of_a_colleague_is_internal_until_they_leave(play, crm, tenant, seed):
    rng = random.Random(seed)
    number = "7" + "".join(rng.choices("0123456789", k=10))
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(numbers=[IVANS_MOBILE, number], is_dismissed=True)
    is_shown, _is_uploaded = play(contact=number)
    assert is_shown
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(is_dismissed=False)
    crm.events.clear()
    crm.calls.clear()
    assert play(contact=number) == (False, False)


@pytest.mark.parametrize("contact", ["79990000110", "7999000001", "99900000111", "479990000011", "7495000000"])
def test_number_that_only_contains_a_colleagues_is_a_customers(play, contact):
    assert play(contact=contact)[0]


def test_number_of_another_clients_colleague_is_a_customers(play, twin):
    Employee.objects.filter(tenant=twin).update(numbers=[CONTACT])
    VirtualNumber.objects.filter(tenant=twin, number=NUMBER).update(number=CONTACT)
    assert play() == (True, True)


def test_virtual_number_that_left_uis_is_still_no_customer(play, tenant):
    VirtualNumber.objects.filter(tenant=tenant, number=OTHER_NUMBER).update(is_active=False)
    assert play(contact=OTHER_NUMBER) == (False, False)


def test_call_that_uis_calls_internal_is_internal_for_both(play):
    assert play(contact="102", is_internal=True) == (False, False)


@pytest.mark.parametrize("contact", ["anonymous", "", "Unknown", "скрыт", "private"])
def test_hidden_number_passes_for_neither(play, contact):
    assert play(contact=contact) == (False, False)
    assert skipped_by() == {"HIDDEN_NUMBER"}


@pytest.mark.parametrize(
    ("rules", "listed", "reason"),
    [
        ({"number_filter": "ONLY"}, "numbers", "NUMBER"),
        ({"number_filter": "EXCEPT"}, "numbers", "NUMBER"),
        ({"employee_filter": "ONLY"}, "employees", "EMPLOYEE"),
        ({"employee_filter": "EXCEPT"}, "employees", "EMPLOYEE"),
        ({"contact_filter": "ONLY"}, "contacts", "CONTACT"),
        ({"contact_filter": "EXCEPT"}, "contacts", "CONTACT"),
    ],
)
@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("direction", ["in", "out"])
def test_lists_decide_for_both(play, tenant, rules, listed, reason, is_listed, direction):
    numbers = VirtualNumber.objects.filter(tenant=tenant, number=NUMBER if is_listed else OTHER_NUMBER)
    employees = Employee.objects.filter(tenant=tenant, uis_id=PETR if is_listed else IVAN)
    set_rules(contacts=CONTACT if is_listed else "79990000009", numbers=numbers, employees=employees, **rules)
    passes = is_listed == ("ONLY" in rules.values())
    assert play(direction=direction) == (passes, passes)
    if not passes:
        assert skipped_by() == {reason}


@pytest.mark.parametrize(
    ("rules", "direction", "answered"),
    [
        ({"upload_answered": False}, "in", True),
        ({"upload_missed": False}, "in", False),
        ({"upload_outgoing": False}, "out", True),
    ],
)
def test_what_is_known_at_the_end_only_keeps_no_popup_away(play, rules, direction, answered):
    set_rules(**rules)
    assert play(direction=direction, answered=answered) == (True, False)


@pytest.mark.parametrize("told", ["in", "out", None, "internal", ""])
def test_ring_of_a_click_is_outgoing_for_both(play, crm, tenant, told):
    assert play(external_id="click-17", ring={"direction": told}) == (True, True)
    assert [event["type"] for event in crm.events] == ["out", "hangup"]
    assert (crm.events[0]["phone"], crm.calls[0]["type"]) == (f"+{CONTACT}", "out")


@pytest.mark.parametrize("choice", ["popup_incoming", "popup_outgoing"])
@pytest.mark.parametrize("told", ["in", "out"])
def test_ring_of_a_click_obeys_the_rule_of_outgoing_calls(play, tenant, choice, told):
    set_rules(**{choice: "OFF"})
    assert play(external_id="click-17", ring={"direction": told}) == (choice == "popup_incoming", True)


@pytest.mark.parametrize("contact", ["", None, IVANS_MOBILE, "102"])
def test_ring_of_a_click_that_names_no_customer_has_no_popup(play, tenant, contact):
    assert not play(external_id="click-17", ring={"contact_phone_number": contact})[0]


@pytest.mark.parametrize("external_id", ["click", "order-17", "", "xclick-1", None])
def test_other_external_ids_say_nothing_about_the_direction(play, crm, external_id):
    play(external_id=external_id)
    assert crm.events[0]["type"] == "in"


def test_what_a_ring_does_not_tell_another_event_does(notify, pbx, crm, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, talks=[(PETR, 5)])
    bare = {"contact_phone_number": None, "virtual_phone_number": None, "direction": None}
    notify(call.notification("incoming", at=timezone.now()))
    notify(call.notification("waiting", employee_id=PETR, at=timezone.now()) | bare)
    popup = Popup.objects.get()
    assert (popup.contact, popup.number, popup.direction, list(crm.popups())) == (CONTACT, NUMBER, "in", [28])


def test_ring_that_names_a_colleague_who_transfers_shows_the_customer(notify, pbx, crm, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 5), (PETR, 5)])
    notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()))
    transfer = call.notification("waiting", employee_id=PETR, at=timezone.now())
    notify(transfer | {"contact_phone_number": "101"})
    assert crm.events[-1]["phone"] == f"+{CONTACT}"
    assert sorted(crm.popups()) == [27, 28]
