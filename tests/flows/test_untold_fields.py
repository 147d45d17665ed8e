"""What a notification does not tell is unknown, and no decision is made by it: UIS's report is asked.

A field is not told if its macro is missing, was not filled in, is empty, or has a value that cannot be read.
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from telephony import tasks as telephony_tasks
from telephony.models import Call, CallLogEntry
from tenants.models import Employee, VirtualNumber
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]

# How a field is not told; None in place of a value leaves it out.
UNTOLD = {
    "left out": lambda body, name: {key: value for key, value in body.items() if key != name},
    "null": lambda body, name: body | {name: None},
    "empty": lambda body, name: body | {name: ""},
    "macro": lambda body, name: body | {name: f"{{{{{name}}}}}"},
    "bare name": lambda body, name: body | {name: name},
    "list": lambda body, name: body | {name: [[]]},
    "garbage": lambda body, name: body | {name: "?!"},
}
HOW = pytest.mark.parametrize("how", UNTOLD)
DECISIVE = ("contact_phone_number", "virtual_phone_number", "is_lost", "direction")


@pytest.fixture
def wait(later):
    def minutes(count=3):
        for _minute in range(count):
            later(timedelta(minutes=1))

    return minutes


@pytest.fixture
def reconcile(later, run_queue):
    def run():
        later(timedelta(minutes=11))
        telephony_tasks.reconcile_all()
        run_queue()
        task_queue.sweep()

    return run


def ended_call(pbx, **values):
    values = {"contact": CONTACT, "number": NUMBER, "rings": [IVAN, PETR]} | values
    return pbx.call(started_at=timezone.now() - timedelta(seconds=90), **values)


def without(body, *names, how="left out"):
    for name in names:
        body = UNTOLD[how](body, name)
    return body


def state():
    call = Call.objects.get()
    return call.state, call.skip_reason


@HOW
@pytest.mark.parametrize("name", DECISIVE)
def test_missed_call_is_uploaded_with_what_the_report_tells(notify, pbx, crm, wait, stranger, how, name):
    call = ended_call(pbx)
    notify(without(call.notification("call_end"), name, how=how))
    wait()
    (sent,) = crm.calls
    assert (sent["phone"], sent["externalPhone"]) == (f"+{CONTACT}", f"+{NUMBER}")
    assert (sent["type"], sent["result"]) == ("in", "no answer")


@HOW
@pytest.mark.parametrize("name", [*DECISIVE, "talk_time_duration", "employee_id"])
def test_answered_call_is_uploaded_with_what_the_report_tells(notify, pbx, crm, wait, stranger, how, name):
    call = ended_call(pbx, talks=[(PETR, 52)])
    notify(without(call.notification("call_end"), name, how=how))
    wait()
    (sent,) = crm.calls
    assert (sent["phone"], sent["externalPhone"], sent["code"]) == (f"+{CONTACT}", f"+{NUMBER}", "102")
    assert (sent["type"], sent["result"], sent["duration"]) == ("in", "answered", 52)


@pytest.mark.parametrize("raw", ["00:00:52", "52.4", "0:52", " 52 ", "52,0", "??", "52 s", "-52", None])
def test_talk_time_that_cannot_be_read_is_not_zero(notify, pbx, crm, wait, stranger, raw):
    call = ended_call(pbx, talks=[(PETR, 52)])
    notify(without(call.notification("call_end"), "is_lost") | {"talk_time_duration": raw})
    wait()
    assert [(sent["result"], sent["duration"]) for sent in crm.calls] == [("answered", 52)]


@HOW
def test_outgoing_call_without_an_answer_stays_one(notify, pbx, crm, wait, stranger, how):
    call = ended_call(pbx, direction="out", rings=[IVAN], finish_reason="subscriber_busy")
    notify(without(call.notification("call_end"), "direction", "is_lost", how=how))
    wait()
    assert [(sent["type"], sent["result"]) for sent in crm.calls] == [("out", "busy")]


def test_number_that_is_told_as_hidden_is_not_asked_for(notify, uis_world, pbx, crm, tenant):
    call = ended_call(pbx)
    uis_world.requests.clear()
    notify(call.notification("call_end") | {"contact_phone_number": "anonymous"})
    assert (state(), uis_world.requests) == (("SKIPPED", "HIDDEN_NUMBER"), [])


def test_number_that_the_report_does_not_know_either_is_hidden(notify, pbx, crm, wait, stranger):
    call = ended_call(pbx, contact="")
    notify(without(call.notification("call_end"), "contact_phone_number"))
    wait()
    assert (state(), crm.calls) == (("SKIPPED", "HIDDEN_NUMBER"), [])


@pytest.mark.parametrize("event", ["call_end", "lost_call"])
def test_number_that_another_notification_tells_is_not_asked_for(notify, uis_world, pbx, crm, tenant, event):
    call = ended_call(pbx)
    ring, end = call.notification("waiting", employee_id=IVAN), call.notification(event)
    uis_world.requests.clear()
    notify(ring, without(end, "contact_phone_number", "virtual_phone_number"))
    assert [(sent["phone"], sent["externalPhone"]) for sent in crm.calls] == [(f"+{CONTACT}", f"+{NUMBER}")]
    assert uis_world.requests == []


@pytest.mark.parametrize(
    ("rules", "name", "expected"),
    [
        ({"number_filter": "ONLY"}, "virtual_phone_number", ("UPLOADED", "")),
        ({"number_filter": "EXCEPT"}, "virtual_phone_number", ("SKIPPED", "NUMBER")),
        ({"employee_filter": "ONLY"}, "employee_ids", ("UPLOADED", "")),
        ({"employee_filter": "EXCEPT"}, "employee_ids", ("SKIPPED", "EMPLOYEE")),
        ({"contact_filter": "ONLY", "contacts": CONTACT}, "contact_phone_number", ("UPLOADED", "")),
        ({"contact_filter": "EXCEPT", "contacts": CONTACT}, "contact_phone_number", ("SKIPPED", "CONTACT")),
    ],
)
def test_list_is_asked_with_what_the_report_tells(notify, pbx, crm, wait, tenant, stranger, rules, name, expected):
    publish_rules(tenant, numbers=[VirtualNumber.objects.get(tenant=tenant, number=NUMBER)])
    publish_rules(tenant, employees=[Employee.objects.get(tenant=tenant, uis_id=PETR)])
    publish_rules(tenant, **rules)
    notify(without(ended_call(pbx).notification("lost_call"), name))
    wait()
    assert state() == expected


def test_nobody_rang_is_told_by_an_empty_list(notify, uis_world, pbx, crm, tenant):
    publish_rules(tenant, employee_filter="ONLY")
    call = ended_call(pbx, rings=[])
    uis_world.requests.clear()
    notify(call.notification("lost_call"))
    assert (state(), uis_world.requests) == (("SKIPPED", "EMPLOYEE"), [])


@pytest.mark.parametrize("method", ["get.calls_report", "get.call_legs_report"])
def test_call_goes_on_with_the_report_that_is_allowed(notify, pbx, crm, wait, tenant, method):
    """Without the right to one of both; a call without a direction, or without legs, waits for it."""
    pbx.unavailable_methods.add(method)
    notify(without(ended_call(pbx).notification("call_end"), "contact_phone_number"))
    wait()
    if method == "get.calls_report":
        assert [sent["phone"] for sent in crm.calls] == [f"+{CONTACT}"]
    else:
        assert (crm.calls, Call.objects.get().reason) == ([], "UIS_DENIED")


@pytest.mark.parametrize("minutes", [1, 5, 15])
def test_report_that_shows_the_call_later_is_waited_for(notify, pbx, crm, wait, stranger, minutes):
    call = ended_call(pbx)
    call.visible_at = timezone.now() + timedelta(minutes=minutes)
    notify(without(call.notification("call_end"), "contact_phone_number"))
    assert state() == ("FETCHING_LEGS", "")
    wait(minutes + 20)
    assert [(sent["phone"], sent["result"]) for sent in crm.calls] == [(f"+{CONTACT}", "no answer")]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["contact_phone_number"], ("SKIPPED", "HIDDEN_NUMBER")),
        (["virtual_phone_number"], ("UPLOADED", "")),
        (["is_lost"], ("UPLOADED", "")),
        (["is_lost", "virtual_phone_number"], ("UPLOADED", "")),
        (["is_lost", "contact_phone_number"], ("SKIPPED", "HIDDEN_NUMBER")),
    ],
)
def test_call_that_the_report_never_shows_is_decided_by_what_is_told(
    notify, pbx, crm, wait, reconcile, tenant, names, expected
):
    call = ended_call(pbx)
    call.visible_at = timezone.now() + timedelta(days=30)
    notify(without(call.notification("call_end"), *names))
    wait(45)
    assert (state(), len(crm.calls)) == (expected, int(expected[0] == "UPLOADED"))
    call.visible_at = timezone.now()
    reconcile()
    reconcile()
    assert [(sent["phone"], sent["result"]) for sent in crm.calls] == [(f"+{CONTACT}", "no answer")]
    assert CallLogEntry.objects.filter(step="REOPENED").count() == int(expected[0] == "SKIPPED")
