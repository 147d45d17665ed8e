"""What UIS states wins over what we derive, and a call is the same whichever way it became known."""

import random
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from connector_project.operations.alerts import rules
from telephony import tasks
from telephony.missed_callers.queries import load_board
from telephony.models import Call, CallLogEntry
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules
from tests.telephony.uis.test_finish_reasons import REJECTED_CALLER, WORDS

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=ZoneInfo("Europe/Moscow"))
OUTSIDE = "79993334455"


@pytest.fixture
def wait(clock, run_queue):
    """Let minutes pass, with their sweeps."""

    def pass_minutes(count=3):
        for _minute in range(count):
            clock.shift(timedelta(minutes=1))
            task_queue.sweep()

    return pass_minutes


@pytest.fixture
def reconcile(wait, run_queue):
    def run(times=1):
        for _time in range(times):
            wait(10)
            tasks.reconcile_all()
            run_queue()
            wait(2)

    return run


def ended_call(pbx, **values):
    values = {"contact": CONTACT, "number": NUMBER} | values
    return pbx.call(started_at=timezone.now() - timedelta(minutes=2), **values)


def on_the_board(tenant):
    return [caller.contact for caller in load_board(tenant, now=timezone.now()).waiting]


# --- a menu or an informer served the caller


SERVED = {
    "as told": {},
    "talk not told": {"talk_time_duration": None},
    "talk garbage": {"talk_time_duration": "?"},
    "not told whether lost": {"is_lost": None},
    "nothing told": {"is_lost": None, "talk_time_duration": None, "direction": None},
    "by words": {"is_lost": "no", "talk_time_duration": "00:00:00"},
}


@pytest.mark.parametrize("told", SERVED.values(), ids=SERVED)
@pytest.mark.parametrize("reason", ["success_finish", "scenario_disconnects", "subscriber_disconnects"])
def test_caller_whom_a_menu_served_is_not_missed(clock, notify, pbx, crm, tenant, wait, stranger, told, reason):
    call = ended_call(pbx, is_served=True, finish_reason=reason)
    notify(call.notification("call_end") | told)
    wait(5)
    assert [(sent["type"], sent["result"], sent["duration"]) for sent in crm.calls] == [("in", "answered", 0)]
    row = Call.objects.get()
    assert (row.is_missed, row.is_lost, row.state, on_the_board(tenant)) == (False, False, "UPLOADED", [])


def test_caller_whom_a_menu_served_is_not_missed_by_the_report_alone(clock, pbx, crm, tenant, reconcile, stranger):
    ended_call(pbx, is_served=True)
    reconcile()
    assert ([sent["result"] for sent in crm.calls], on_the_board(tenant)) == (["answered"], [])


def test_served_caller_is_no_talk_that_answers_an_earlier_miss(clock, notify, pbx, crm, tenant, wait):
    notify(ended_call(pbx, rings=[IVAN]).notification("lost_call"))
    clock.shift(timedelta(minutes=5))
    notify(ended_call(pbx, is_served=True).notification("call_end"))
    wait()
    assert [sent["result"] for sent in crm.calls] == ["no answer", "answered"]
    assert on_the_board(tenant) == [CONTACT]


def test_rule_for_missed_calls_skips_no_served_caller(clock, notify, pbx, crm, tenant, wait):
    publish_rules(tenant, upload_missed=False)
    notify(ended_call(pbx, is_served=True).notification("call_end"))
    wait()
    assert [sent["result"] for sent in crm.calls] == ["answered"]


def test_menu_that_ended_before_the_call_is_no_service(clock, notify, pbx, crm, tenant, wait):
    """Two ends of one call contradict each other: the report decides."""
    call = ended_call(pbx, rings=[IVAN])
    end = call.notification("call_end")
    notify(end | {"is_lost": False, "notification_name": "menu"}, end, call.notification("lost_call"))
    wait()
    assert ([sent["result"] for sent in crm.calls], on_the_board(tenant)) == (["no answer"], [CONTACT])


@pytest.mark.parametrize(
    "told", [{"is_lost": True}, {"is_lost": "1"}, {"is_lost": True, "talk_time_duration": "0:30"}, {"is_lost": None}]
)
def test_talk_is_a_talk_though_the_call_is_told_as_lost(clock, notify, pbx, crm, tenant, wait, told):
    call = ended_call(pbx, talks=[(IVAN, 30)])
    notify(call.notification("call_end") | told)
    wait()
    assert [(sent["result"], sent["duration"]) for sent in crm.calls] == [("answered", 30)]


# --- finish reasons


def test_finish_reason_has_one_result_on_both_paths(clock, notify, pbx, crm, tenant, reconcile, stranger):
    told, silent = {}, {}
    reasons = sorted({*REJECTED_CALLER, *random.Random(13).sample(sorted(WORDS), 12)})
    for number, reason in enumerate(reasons):
        for direction, sessions in (("in", told), ("out", told), ("in", silent), ("out", silent)):
            rings = [IVAN] if direction == "out" or number % 2 else []
            call = ended_call(pbx, contact=f"7998{number:07}", direction=direction, rings=rings, finish_reason=reason)
            sessions[f"uis-{call.session_id}"] = (direction, reason)
            if sessions is told:
                event = "lost_call" if direction == "in" and number % 3 else "call_end"
                notify(call.notification(event), works=False)
    task_queue.drain()
    reconcile(2)
    results = {call["externalId"]: call["result"] for call in crm.calls}
    by_path = [{key: results[session] for session, key in sessions.items()} for sessions in (told, silent)]
    assert by_path[0] == by_path[1]
    assert {result for (direction, _reason), result in by_path[0].items() if direction == "in"} == {"no answer"}
    assert len(results) == 4 * len(reasons)


# --- the last employee who talked


TRANSFERS = {
    "to an outside number": ([(IVAN, 20), (OUTSIDE, 60)], {"LAST_TALKER": IVAN, "LONGEST_TALKER": IVAN}),
    "twice": ([(IVAN, 20), (PETR, 10), (OUTSIDE, 60)], {"LAST_TALKER": PETR, "LONGEST_TALKER": IVAN}),
    "outside and back": ([(IVAN, 20), (OUTSIDE, 60), (PETR, 5)], {"LAST_TALKER": PETR, "LONGEST_TALKER": IVAN}),
    "to two outside numbers": ([(PETR, 9), (OUTSIDE, 9), ("79993334466", 9)], dict.fromkeys(["LAST_TALKER"], PETR)),
    "to an employee's own phone": ([(IVAN, 20), ("79990000012", 60)], {"LAST_TALKER": PETR, "LONGEST_TALKER": PETR}),
    "to somebody unknown": ([(ANNA, 3), (IVAN, 4), (OUTSIDE, 1)], {"LAST_TALKER": IVAN, "FIRST_TALKER": ANNA}),
}
CASES = [(talks, rule, owner) for talks, owners in TRANSFERS.values() for rule, owner in owners.items()]


@pytest.mark.parametrize(("talks", "rule", "owner"), CASES)
@pytest.mark.parametrize("is_told", [True, False], ids=["notified", "reconciled"])
def test_owner_of_a_transferred_call_is_an_employee(
    clock, notify, pbx, crm, tenant, wait, reconcile, stranger, talks, rule, owner, is_told
):
    publish_rules(tenant, owner=rule)
    call = ended_call(pbx, talks=talks)
    if is_told:
        notify(call.notification("call_end"))
        wait(11)  # for a recording of the outside talk
    else:
        reconcile(2)
    row = Call.objects.get()
    assert (row.employee.uis_id, row.state) == (owner, "UPLOADED")
    assert [sent["duration"] for sent in crm.calls] == [sum(seconds for _party, seconds in talks)]


# --- a lost call that was none


def problems():
    return {key[1] for key in rules.find_problems(rules.load_clients(), now=timezone.now())}


LOST_ALONE = {
    "talk": {"talks": [(IVAN, 52)]},
    "two talks": {"talks": [(IVAN, 5), (PETR, 6)]},
    "transfer": {"talks": [(PETR, 7), (OUTSIDE, 8)]},
    "one second": {"talks": [(ANNA, 1)]},
    "served": {"is_served": True},
}


@pytest.mark.parametrize("script", LOST_ALONE.values(), ids=LOST_ALONE)
@pytest.mark.parametrize("waiting", [None, "crm", "rule"])
def test_lost_call_alone_is_compared_with_the_report(
    clock, notify, pbx, crm, crm_world, tenant, reconcile, stranger, script, waiting
):
    """Before the upload it is corrected; after it, as the CRM accepts no correction, it is reported."""
    call = ended_call(pbx, rings=[IVAN], **script)
    if waiting == "crm":
        crm_world.break_down("503")
    if waiting == "rule":
        publish_rules(tenant, upload_missed=False)
    lost = {
        "event": "lost_call",
        "is_lost": True,
        "talk_time_duration": 0,
        "total_time_duration": None,
        "employee_ids": [IVAN],
    }
    notify(call.notification("call_end") | lost)
    assert len(crm.calls) == int(waiting is None)
    reconcile()
    crm_world.repair()
    reconcile(3)
    late = CallLogEntry.objects.filter(step="LATE_ANSWER").count()
    if waiting:
        assert ([sent["result"] for sent in crm.calls], late) == (["answered"], 0)
    else:
        assert ([sent["result"] for sent in crm.calls], late) == (["no answer"], 1)
        assert "LATE_ANSWER" in problems()
    assert on_the_board(tenant) == []
