"""Reconciliation compares each listed call with ours: what UIS's report tells otherwise is decided anew, once."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db.models import F, TextField, Value
from django.db.models.functions import Cast
from django.utils import timezone

from connector_project.core.encrypted_fields import Undecryptable
from connector_project.operations.alerts import rules
from telephony import tasks
from telephony.calls import manual
from telephony.models import Call, CallLogEntry
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.flows.upload_hooks import while_uploading
from tests.rules import publish_rules, publish_rules_for_all

pytestmark = pytest.mark.sampled(1)

MOSCOW = ZoneInfo("Europe/Moscow")
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=MOSCOW)


@pytest.fixture
def reconcile(clock, run_queue):
    """Let ten minutes pass, run what is scheduled then, and what that queues."""

    def run(times=1):
        for _time in range(times):
            clock.shift(timedelta(minutes=10))
            tasks.reconcile_all()
            run_queue()
            task_queue.sweep()

    return run


def answered_call(pbx, **values):
    values = {"contact": CONTACT, "number": NUMBER, "rings": [IVAN], "talks": [(IVAN, 52)]} | values
    return pbx.call(started_at=timezone.now() - timedelta(minutes=2), **values)


def as_missed(session, **changes):
    """Return the notification of the menu's end: nobody had talked yet."""
    values = {
        "event": "lost_call",
        "is_lost": True,
        "talk_time_duration": 0,
        "total_time_duration": None,
        "employee_ids": [],
    }
    return dict(session.notification("call_end"), **values | changes)


def row():
    return Call.objects.get()


def steps():
    return list(CallLogEntry.objects.values_list("step", flat=True))


def test_answered_call_that_was_skipped_as_missed_is_uploaded(clock, pbx, crm, notify, reconcile, tenant, stranger):
    publish_rules(tenant, upload_missed=False)
    notify(as_missed(answered_call(pbx)))
    assert row().skip_reason == "MISSED_OFF"
    reconcile()
    assert [(call["result"], call["_manager"]) for call in crm.calls] == [("answered", 27)]
    assert (row().state, row().skip_reason, row().talk_seconds) == ("UPLOADED", "", 52)
    done = steps()
    reconcile(times=3)
    assert (len(crm.uploads), steps()) == (1, done)


def test_call_skipped_by_a_person_stays_skipped(clock, pbx, crm, notify, reconcile, tenant):
    tenant.crm.suspend("key", "no", now=timezone.now())
    notify(as_missed(answered_call(pbx)))
    assert manual.skip(row(), "a test call", now=timezone.now())
    done = steps()
    reconcile(times=2)
    assert (row().skip_reason, crm.calls, steps()) == ("MANUAL", [], done)


def test_wrong_times_in_a_notification_are_replaced_by_the_reports(clock, pbx, crm, notify, reconcile, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(minutes=2), rings=[IVAN])
    notify(as_missed(call, start_time="2001-01-01 00:00:00", notification_time="2001-01-01 00:01:00"))
    assert row().skip_reason == "EXPIRED"
    reconcile()
    assert (row().state, row().started_at) == ("UPLOADED", call.started_at)
    assert [sent["date"] for sent in crm.calls] == ["2026-03-10 11:58:00"]


def test_hidden_number_that_the_report_names_is_uploaded(clock, pbx, crm, notify, reconcile, tenant):
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(minutes=2), rings=[IVAN])
    body = call.notification("lost_call")
    notify(body | {name: "anonymous" for name, value in body.items() if value == CONTACT})
    assert row().skip_reason == "HIDDEN_NUMBER"
    reconcile()
    assert [sent["phone"] for sent in crm.calls] == [f"+{CONTACT}"]


def test_call_uploaded_as_missed_that_was_answered_is_noted_and_an_incident(
    clock, pbx, crm, notify, reconcile, tenant, stranger
):
    notify(as_missed(answered_call(pbx)))
    assert [sent["result"] for sent in crm.calls] == ["no answer"]
    reconcile(times=3)
    assert (steps().count("LATE_ANSWER"), len(crm.uploads)) == (1, 1)
    assert [(key[:2], one.context["calls"]) for key, one in problems() if key[1] == "LATE_ANSWER"] == [
        ((tenant.pk, "LATE_ANSWER"), 1)
    ]
    clock.shift(timedelta(days=1))
    assert [key for key, _one in problems() if key[1] == "LATE_ANSWER"] == []


def problems():
    return list(rules.find_problems(rules.load_clients(), now=timezone.now()).items())


def test_missed_call_on_its_way_to_the_crm_is_uploaded_as_answered(
    clock, pbx, crm, crm_world, notify, reconcile, tenant, stranger
):
    crm_world.break_down("503")
    notify(as_missed(answered_call(pbx)))
    assert (row().state, row().is_missed) == ("READY", True)
    reconcile()
    assert row().talk_seconds == 52
    done = steps()
    crm_world.repair()
    reconcile(times=2)
    assert [call["result"] for call in crm.calls] == ["answered"]
    assert steps()[len(done) :] == ["UPLOAD"]


def test_call_as_reported_is_not_touched(clock, pbx, notify, reconcile, tenant):
    notify(answered_call(pbx).notification("call_end"))
    pbx.call(contact="102", number=NUMBER, started_at=NOON - timedelta(minutes=2), is_internal=True)
    reconcile()
    before, done = list(Call.objects.values()), steps()
    reconcile(times=2)
    assert (list(Call.objects.values()), steps()) == (before, done)


def test_difference_that_changes_nothing_is_looked_at_once(clock, pbx, notify, reconcile, tenant):
    """The rules skip the call by the report's facts too."""
    publish_rules_for_all(upload_missed=False)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=NOON - timedelta(minutes=2), rings=[IVAN])
    body = call.notification("lost_call")
    notify(body | {name: "79990000009" for name, value in body.items() if value == CONTACT})
    reconcile()
    assert (row().skip_reason, row().contact) == ("MISSED_OFF", CONTACT)
    before, done = list(Call.objects.values()), steps()
    reconcile(times=2)
    assert (list(Call.objects.values()), steps()) == (before, done)


def test_call_that_cannot_be_read_stops_no_other(clock, pbx, crm, notify, reconcile, tenant):
    publish_rules_for_all(upload_missed=False)
    bad, good = (answered_call(pbx, contact=f"7999000000{number}") for number in range(2))
    notify(as_missed(bad), as_missed(good))
    Call.objects.filter(session_id=bad.session_id).annotate(raw=Value("broken")).update(
        uis_snapshot=Cast(F("raw"), TextField())
    )
    with pytest.raises(Undecryptable):
        bool(Call.objects.get(session_id=bad.session_id).uis_snapshot)
    reconcile()
    assert [call["phone"] for call in crm.calls] == [f"+{good.contact}"]


@pytest.mark.parametrize("count", [1, 5])
def test_comparison_of_known_calls_has_a_fixed_query_count(
    clock, pbx, notify, reconcile, tenant, django_assert_num_queries, count
):
    for _call in range(count):
        notify(answered_call(pbx).notification("call_end"))
    reconcile(times=2)
    clock.shift(timedelta(minutes=10))
    with django_assert_num_queries(20):
        tasks.reconcile_calls(tenant.pk)


@pytest.mark.parametrize(
    ("talks", "told", "sent"),
    [
        ([], {"contact_phone_number": "79990000009"}, {"phone": f"+{CONTACT}", "type": "in"}),
        ([], {"contact_phone_number": "102"}, {"phone": f"+{CONTACT}"}),
        ([(IVAN, 52)], {"direction": "out"}, {"type": "in", "result": "answered"}),
    ],
)
def test_call_on_its_way_to_the_crm_is_decided_anew_by_what_the_report_tells_otherwise(
    clock, pbx, crm, crm_world, notify, reconcile, tenant, stranger, talks, told, sent
):
    crm_world.break_down("503")
    publish_rules(tenant, upload_internal=True)
    call = answered_call(pbx, talks=talks)
    notify(call.notification("call_end" if talks else "lost_call") | told)
    assert row().state == "READY"
    reconcile()
    done = steps()
    crm_world.repair()
    reconcile(times=2)
    assert [{name: one[name] for name in sent} for one in crm.calls] == [sent]
    assert steps()[len(done) :] == ["UPLOAD"]


def test_upload_in_flight_is_not_changed_by_a_report_without_a_talk(
    clock, pbx, crm, notify, reconcile, tenant, monkeypatch
):
    """The CRM has the contact of then, and our row must say the same."""
    call = answered_call(pbx, talks=[])
    body = call.notification("lost_call") | {"contact_phone_number": "79990000009"}
    while_uploading(monkeypatch, lambda: (clock.shift(timedelta(minutes=10)), tasks.reconcile_calls(tenant.pk)))
    notify(body)
    assert [one["phone"] for one in crm.calls] == ["+79990000009"]
    assert (row().state, row().contact) == ("UPLOADED", "79990000009")
