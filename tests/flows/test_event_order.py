"""Events in any order, repeated or late, give exactly one correct record in the CRM."""

import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telephony import tasks
from telephony.calls import apply_event, steps
from telephony.models import Call, CallLogEntry, FailureReason, Notification, Step
from telephony.webhooks import process, receive, turns
from tenants.models import Employee
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.rules import publish_rules, publish_rules_for_all

pytestmark = [pytest.mark.one_database, pytest.mark.usefixtures("real_debounce")]


@pytest.fixture
def advance(clock):
    """Let seconds pass, and run the workers every two of them."""

    def wait(seconds=10):
        for _ in range(0, seconds, 2):
            clock.shift(timedelta(seconds=2))
            tasks.enqueue_debounced()
            task_queue.drain()

    return wait


@pytest.fixture
def answered(clock, pbx):
    """Ivan's phone rings and stops, Petr answers."""
    began = timezone.now() - timedelta(seconds=90)
    return pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[IVAN], talks=[(PETR, 60)], wait=14)


@pytest.fixture
def missed(clock, pbx):
    began = timezone.now() - timedelta(seconds=40)
    return pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[IVAN, PETR], wait=30)


def events_of(session):
    """All notifications of an answered call in which two phones rang."""
    return [
        session.notification("waiting", employee_id=IVAN),
        session.notification("waiting", employee_id=PETR),
        session.notification("talk_started", employee_id=PETR),
        session.notification("call_end"),
        session.notification("recorded", employee_id=PETR),
        # The notification of a menu that ended before the phones rang.
        dict(
            session.notification("call_end"),
            event="lost_call",
            talk_time_duration=0,
            total_time_duration=None,
            is_lost=True,
            employee_ids=[],
        ),
    ]


def receive_all(tenant, bodies):
    for body in bodies:
        receive.store(tenant.uis.hook, event="", query="", body=body, now=timezone.now())
        task_queue.drain()


def public_fields(crm):
    return [{name: value for name, value in call.items() if not name.startswith("_")} for call in crm.calls]


def delete_calls(crm, tenant):
    for rows in (Call, Notification):
        rows.objects.filter(tenant=tenant).delete()
    crm.calls.clear()
    crm.uploads.clear()
    type(tenant.uis).objects.update(legs_slot_at=None)  # each sequence is the first of its hour


def texts(events):
    import json

    return [json.dumps(event, ensure_ascii=False) for event in events]


# tests/telephony/test_resolution.py has every order of six events; here five of them are sent as webhooks.
ORDERS = list(itertools.permutations(range(5)))
SOME_ORDERS = ORDERS[::17]  # each event is first in at least one of them
ORDERS_BY_FIRST = [pytest.param(ORDERS[at : at + 24], marks=pytest.mark.exhaustive) for at in range(0, len(ORDERS), 24)]


@pytest.mark.slow
@pytest.mark.parametrize("orders", [SOME_ORDERS, *ORDERS_BY_FIRST], ids=["some", *map(str, range(5))])
def test_every_order_of_five_events_gives_the_same_record_once(tenant, crm, answered, clock, orders, stranger):
    bodies = texts(events_of(answered)[1:])
    records = set()
    publish_rules_for_all(popup_incoming="OFF")  # pop-ups have their own tests
    for order in orders:
        delete_calls(crm, tenant)
        receive_all(tenant, [bodies[number] for number in order])
        clock.shift(timedelta(seconds=8))
        tasks.enqueue_debounced()
        task_queue.drain()
        assert len(crm.uploads) == len(crm.calls) == 1
        records.add(repr(sorted(public_fields(crm)[0].items())))
    assert len(records) == 1
    assert "'answered'" in records.pop()


SHARED_FIXTURES = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.mark.slow
@settings(max_examples=3, **SHARED_FIXTURES)
@given(data=st.data())
def test_some_sequences_with_repeats_give_the_same_record_once(tenant, crm, answered, missed, advance, data):
    assert_same_record_once(tenant, crm, answered, missed, advance, data)


@pytest.mark.exhaustive
@settings(max_examples=30, **SHARED_FIXTURES)
@given(data=st.data())
def test_random_sequences_with_repeats_give_the_same_record_once(tenant, crm, answered, missed, advance, data):
    assert_same_record_once(tenant, crm, answered, missed, advance, data)


def assert_same_record_once(tenant, crm, answered, missed, advance, data):
    bodies = data.draw(
        st.sampled_from(
            [
                texts(events_of(answered)),
                texts([missed.notification("waiting", employee_id=employee_id) for employee_id in (IVAN, PETR)])
                + texts([missed.notification(event) for event in ("incoming", "lost_call", "call_end")]),
            ]
        )
    )
    ends = [body for body in bodies if '"call_end"' in body]
    selected = data.draw(st.lists(st.sampled_from(bodies), max_size=9).map(lambda sample: [*sample, *ends]))
    records = []
    for _ in range(2):
        delete_calls(crm, tenant)
        order = data.draw(st.permutations([*selected, *data.draw(st.lists(st.sampled_from(selected), max_size=6))]))
        receive_all(tenant, order)
        advance(10)
        assert len(crm.uploads) == len(crm.calls) == 1
        records.append(public_fields(crm)[0])
    assert records[0] == records[1]


@pytest.mark.slow
@settings(max_examples=4, **SHARED_FIXTURES)
@given(data=st.data())
def test_some_sequences_with_pauses_lose_no_talk(tenant, crm, answered, advance, data):
    assert_no_talk_is_lost(tenant, crm, answered, advance, data)


@pytest.mark.exhaustive
@settings(max_examples=15, **SHARED_FIXTURES)
@given(data=st.data())
def test_random_sequences_with_pauses_lose_no_talk(tenant, crm, answered, advance, data):
    assert_no_talk_is_lost(tenant, crm, answered, advance, data)


def assert_no_talk_is_lost(tenant, crm, answered, advance, data):
    """Events with pauses in which the call may be skipped or uploaded as missed, and then more is told of it."""
    delete_calls(crm, tenant)
    skips = data.draw(st.booleans(), label="missed calls are skipped")
    publish_rules_for_all(upload_missed=not skips, popup_incoming="OFF")
    hidden = {"contact_phone_number": "anonymous", "virtual_phone_number": None}
    for event in data.draw(st.permutations(events_of(answered))):
        is_hidden = event["event"] != "call_end" and data.draw(st.booleans(), label="the number is hidden")
        receive_all(tenant, texts([event | hidden if is_hidden else event]))
        advance(data.draw(st.sampled_from([0, 4, 10]), label="pause"))
    advance(60)
    task_queue.sweep()
    (record,) = crm.calls
    late = CallLogEntry.objects.filter(step="LATE_ANSWER").count()
    assert (record["result"], late) in {("answered", 0)} | (set() if skips else {("no answer", 1)})
    assert Call.objects.get().state == Call.State.UPLOADED


def test_missed_call_is_uploaded_after_the_debounce(tenant, crm, missed, advance, notify):
    notify(missed.notification("lost_call"))
    call = Call.objects.get()
    assert (call.state, call.reason, crm.calls) == (Call.State.DEBOUNCING, "DEBOUNCE", [])
    advance(4)
    assert crm.calls == []
    advance(4)
    assert [call["result"] for call in crm.calls] == ["no answer"]
    assert list(CallLogEntry.objects.values_list("step", flat=True)) == ["RECEIVED", "EVALUATE", "UPLOAD"]


def test_debounced_call_is_uploaded_by_the_sweep_after_a_lost_queue(tenant, crm, missed, advance, notify):
    notify(missed.notification("lost_call"), works=False)
    task_queue.process_notifications()
    task_queue.lose()
    advance(10)
    assert len(crm.calls) == 1


def test_ringing_after_a_lost_event_continues_the_call(tenant, pbx, crm, clock, advance, notify):
    """UIS reports the end of the menu as a lost call; then Ivan's phone rings, and Ivan answers."""
    began = timezone.now()
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=[(IVAN, 52)], wait=20)
    menu = dict(
        call.notification("call_end"),
        event="lost_call",
        is_lost=True,
        talk_time_duration=0,
        total_time_duration=None,
        employee_ids=[],
    )
    menu["notification_time"] = call.account.stamp(began + timedelta(seconds=10))
    call.visible_at = began + timedelta(seconds=80)
    clock.shift(timedelta(seconds=10))
    notify(menu)
    clock.shift(timedelta(seconds=5))
    notify(call.notification("waiting", employee_id=IVAN, at=began + timedelta(seconds=15)))
    advance(10)
    assert crm.calls == []
    clock.shift(timedelta(seconds=60))
    notify(call.notification("call_end"))
    advance(60)
    assert [(sent["result"], sent["duration"], sent["code"]) for sent in crm.calls] == [("answered", 52, "101")]


def test_answer_after_the_upload_is_logged(tenant, crm, missed, advance, notify):
    notify(missed.notification("lost_call"))
    advance(10)
    talk = dict(missed.notification("call_end"), talk_time_duration=52, is_lost=False)
    notify(talk, dict(talk, talk_time_duration=53))
    assert (len(crm.calls), CallLogEntry.objects.filter(step="LATE_ANSWER").count()) == (1, 1)


@pytest.mark.slow
def test_answer_during_a_failing_upload_replaces_the_missed_call(tenant, crm, crm_world, answered, advance, notify):
    """The CRM is unavailable when the missed call is uploaded; meanwhile it turns out that it was answered."""
    lost = dict(
        answered.notification("call_end"),
        event="lost_call",
        talk_time_duration=0,
        total_time_duration=None,
        is_lost=True,
    )
    crm_world.break_down("503")
    notify(lost)
    advance(10)
    assert Call.objects.get().state == Call.State.READY
    notify(answered.notification("talk_started", employee_id=PETR))
    assert Call.objects.get().state in {Call.State.FETCHING_LEGS, Call.State.READY}
    crm_world.repair()
    for _minute in range(3):
        advance(60)
        task_queue.sweep()
    assert [call["result"] for call in crm.calls] == ["answered"]


def test_answer_during_an_upload_resolves_the_call_again(tenant, crm, answered, advance, notify):
    lost = dict(
        answered.notification("call_end"),
        event="lost_call",
        talk_time_duration=0,
        total_time_duration=None,
        is_lost=True,
    )
    notify(lost)
    advance(4)
    tasks.evaluate_calls(tenant.pk)
    Call.objects.update(next_attempt_at=timezone.now(), state=Call.State.READY)
    (claimed,) = Call.objects.claim(tenant.pk, Call.State.READY, limit=5, now=timezone.now())
    notify(answered.notification("talk_started", employee_id=PETR), works=False)
    task_queue.process_notifications()
    rejected = steps.Failed(reason=FailureReason.CRM_REFUSED)
    steps.finish([(claimed, rejected)], Step.UPLOAD, started=time.monotonic(), now=timezone.now())
    advance(10)
    assert [call["result"] for call in crm.calls] == ["answered"]


def test_transfer_is_uploaded_with_the_recording_of_the_whole_call(tenant, pbx, crm, clock, advance, notify, uis_world):
    """52 seconds with Ivan, then 202 with Petr: the recording covers both."""
    began = timezone.now() - timedelta(seconds=300)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=[(IVAN, 52), (PETR, 202)], wait=6)
    notify(call.notification("call_end"))
    advance(4)
    (sent,) = crm.calls
    assert (sent["duration"], sent["code"]) == (254, "102")
    assert sent["recordUrl"] == f"https://media.{pbx.domain}/{call.session_id}/{call.records[0]}"
    uis_snapshot = Call.objects.get().uis_snapshot
    assert all(record in uis_snapshot for record in call.records)


def test_transfer_waits_for_the_recording_of_each_talk(tenant, pbx, crm, clock, advance, notify):
    began = timezone.now() - timedelta(seconds=300)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=[(IVAN, 52), (PETR, 202)], wait=6)
    call.records_at = timezone.now() + timedelta(hours=1)
    notify(call.notification("call_end"), call.notification("recorded", employee_id=IVAN))
    assert (crm.calls, Call.objects.get().reason) == ([], "RECORDING_NOT_READY")
    notify(call.notification("recorded", employee_id=PETR))
    assert crm.calls[0]["recordUrl"] == call.link(call.talk_legs[1].records[0])


@pytest.mark.slow
def test_recording_reported_an_hour_later_changes_nothing(tenant, crm, answered, clock, advance, notify):
    answered.records_at = timezone.now() + timedelta(hours=1)
    notify(answered.notification("call_end"))
    for _minute in range(20):
        clock.shift(timedelta(minutes=1))
        task_queue.sweep()
    assert len(crm.calls) == 1
    clock.shift(timedelta(hours=1))
    notify(answered.notification("recorded", employee_id=PETR))
    advance(10)
    assert (len(crm.calls), len(crm.uploads)) == (1, 1)


@pytest.mark.parametrize("number", ["79990000012", "74950000002"], ids=["employee", "own"])
def test_call_from_an_employee_or_own_number_is_internal(tenant, pbx, crm, clock, advance, notify, number):
    call = pbx.call(contact=number, number=NUMBER, started_at=timezone.now() - timedelta(seconds=30), rings=[IVAN])
    notify(call.notification("lost_call"))
    advance(10)
    assert (Call.objects.get().skip_reason, crm.calls) == ("INTERNAL_OFF", [])


def test_employee_filter_of_an_internal_call_waits_for_its_legs(tenant, pbx, crm, clock, advance, notify):
    publish_rules_for_all(upload_internal=True, employee_filter="ONLY")
    publish_rules(tenant, employees=[Employee.objects.get(uis_id=IVAN)])
    began = timezone.now() - timedelta(seconds=60)
    call = pbx.call(contact="102", number=NUMBER, started_at=began, talks=[(IVAN, 30)], is_internal=True)
    notify(dict(call.notification("call_end"), is_internal=True))
    advance(10)
    assert [sent["code"] for sent in crm.calls] == ["101"]


def test_number_of_a_dismissed_employee_is_an_external_contact(tenant, pbx, crm, clock, advance, notify):
    Employee.objects.filter(uis_id=PETR).update(is_dismissed=True)
    call = pbx.call(contact="79990000012", number=NUMBER, started_at=timezone.now() - timedelta(seconds=30))
    notify(call.notification("lost_call"))
    advance(10)
    assert len(crm.calls) == 1


def test_click_to_call_reported_as_incoming_is_outgoing(tenant, pbx, crm, clock, advance, notify):
    """UIS reports the phone it rang first, the employee's, as the contact."""
    call = pbx.call(
        contact=CONTACT,
        number=NUMBER,
        started_at=timezone.now() - timedelta(seconds=80),
        talks=[(IVAN, 52)],
        source="callapi",
        external_id="click-77",
    )
    swapped = dict(call.notification("call_end"), contact_phone_number="79990000011", direction="in")
    notify(swapped)
    advance(10)
    (sent,) = crm.calls
    assert (sent["type"], sent["phone"], sent["code"]) == ("out", f"+{CONTACT}", "101")


@pytest.mark.slow
def test_fax_is_uploaded_as_answered(tenant, pbx, crm, clock, advance, notify):
    began = timezone.now() - timedelta(seconds=60)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, finish_reason="fax_session_done", wait=40)
    notify(dict(call.notification("call_end"), is_lost=False))
    advance(60)
    for _minute in range(12):
        clock.shift(timedelta(minutes=1))
        task_queue.sweep()
    assert [sent["result"] for sent in crm.calls] == ["answered"]


def test_two_legs_of_one_employee_are_one_call(tenant, pbx, crm, clock, advance, notify):
    began = timezone.now() - timedelta(seconds=300)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=[(IVAN, 52), (PETR, 30), (IVAN, 40)])
    notify(call.notification("call_end"))
    advance(4)
    assert [(sent["code"], sent["duration"]) for sent in crm.calls] == [("101", 122)]


def test_session_beyond_32_bits_keeps_its_number(tenant, pbx, crm, clock, advance, notify):
    began = timezone.now() - timedelta(seconds=60)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=began, talks=[(IVAN, 30)], session_id=2**40 + 5)
    notify(call.notification("call_end"))
    advance(4)
    assert [sent["externalId"] for sent in crm.calls] == [f"uis-{2**40 + 5}"]


@pytest.mark.slow
@pytest.mark.sampled(5)  # a missed call at each of them, and an answered one
@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        ("Europe/Moscow", datetime(2026, 3, 10, 20, 59, 50, tzinfo=UTC)),  # midnight
        ("Europe/Moscow", datetime(2026, 2, 28, 20, 59, 50, tzinfo=UTC)),  # end of a month
        ("Europe/Berlin", datetime(2026, 3, 29, 0, 59, 50, tzinfo=UTC)),  # start of summer time
        ("Europe/Berlin", datetime(2026, 10, 25, 0, 59, 50, tzinfo=UTC)),  # end of summer time
    ],
)
@pytest.mark.parametrize("talks", [[], [(IVAN, 30)]], ids=["missed", "answered"])
def test_call_across_a_date_or_clock_change_keeps_its_start(
    tenant, pbx, crm, notify, clock, advance, zone, moment, talks
):
    pbx.timezone = crm.timezone = zone
    type(tenant.uis).objects.update(time_zone=zone)
    type(tenant.crm).objects.update(time_zone=zone)
    clock.move_to(moment + timedelta(seconds=120))
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=moment, rings=[IVAN], talks=talks, wait=20)
    notify(call.notification("call_end"))
    advance(60)
    for _minute in range(15):
        clock.shift(timedelta(minutes=1))
        task_queue.sweep()
    local = moment.astimezone(Call.objects.get().tenant.crm.zone)
    assert [sent["date"] for sent in crm.calls] == [f"{local:%Y-%m-%d %H:%M:%S}"]


def test_missed_call_owner_is_the_last_rung_even_if_reported_first(tenant, crm, missed, advance, notify):
    publish_rules_for_all(missed_owner="LAST_RUNG")
    later = missed.notification("waiting", employee_id=IVAN, at=missed.started_at + timedelta(seconds=9))
    first = missed.notification("waiting", employee_id=PETR, at=missed.started_at + timedelta(seconds=2))
    notify(missed.notification("lost_call"), later, first)
    advance(10)
    assert [sent["code"] for sent in crm.calls] == ["101"]


@pytest.mark.slow
def test_call_of_an_unknown_employee_is_uploaded_without_a_manager(tenant, pbx, crm, missed, advance, notify):
    pbx.add_employee(ANNA + 7, "Новый Сотрудник", extension="109")
    notify(
        dict(missed.notification("waiting", employee_id=PETR), employee_id=ANNA + 7), missed.notification("lost_call")
    )
    advance(10)
    assert [(sent.get("code"), sent["_manager"]) for sent in crm.calls] == [(None, None)]


def test_missed_call_waits_for_a_notification_that_no_worker_has_read_yet(tenant, pbx, crm, advance, notify, clock):
    """The worker of a ring was killed; without it the call would go to the wrong manager."""
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN, PETR])
    started_at = timezone.now()
    notify(call.notification("waiting", employee_id=IVAN, at=started_at))
    notify(call.notification("waiting", employee_id=PETR, at=started_at + timedelta(seconds=1)), works=False)
    assert turns.claim_next(now=timezone.now())
    task_queue.lose()
    notify(dict(call.notification("lost_call"), employee_ids=[]))
    advance(10)
    assert crm.calls == []
    clock.shift(timedelta(minutes=1))
    task_queue.sweep()
    advance(10)
    assert [call["_manager"] for call in crm.calls] == [28]


def test_notification_that_breaks_its_worker_holds_up_no_missed_call_for_long(
    tenant, pbx, crm, advance, notify, clock, monkeypatch
):
    good, bad = (pbx.call(contact=contact, number=NUMBER, rings=[IVAN]) for contact in (CONTACT, "79990000002"))
    real = apply_event.apply_event

    def apply(tenant, event, *, now):
        return 1 / 0 if event.session_id == bad.session_id else real(tenant, event, now=now)

    monkeypatch.setattr(apply_event, "apply_event", apply)
    notify(bad.notification("waiting", employee_id=IVAN), good.notification("lost_call"))
    for _minute in range(8):
        clock.shift(timedelta(minutes=1))
        task_queue.sweep()
        advance(4)
    assert [call["phone"] for call in crm.calls] == [f"+{CONTACT}"]


def test_same_event_of_two_webhooks_processed_at_once_is_a_repeat(tenant, pbx, crm, client, hook, monkeypatch):
    """Neither worker sees the other's key before it writes its own; the second must not wait for a retry."""
    body = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call")
    for notice in (body, body | {"notification_name": "the second webhook"}):
        assert client.post(hook, notice, content_type="application/json").status_code == 200
    first, second = Notification.objects.order_by("pk")
    process.process(first.pk, now=timezone.now())
    real, answers = process._is_repeat, iter([False])
    monkeypatch.setattr(process, "_is_repeat", lambda *args: next(answers, None) is None and real(*args))
    process.process(second.pk, now=timezone.now())
    second.refresh_from_db()
    assert (second.outcome, second.key, second.next_attempt_at) == ("REPEATED", None, None)
