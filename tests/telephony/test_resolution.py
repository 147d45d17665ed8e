"""The resolution of one call from its events, in any order: values in, value out."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.calls import stored_events
from telephony.calls.evidence import CallEvidence, UisSnapshot, dump, load
from telephony.calls.legs import LAST_TALKER
from telephony.calls.resolution import ResolutionStatus, resolve
from telephony.uis.types import AnsweredEvent, CallLeg, EndedEvent, OtherEvent, RecordingEvent, Result, RingingEvent

BEGAN = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
CONTACT, OWN = "79990000001", "74950000001"
IVAN, PETR, ANNA = 300001, 300002, 300003
SESSION = 5139032004
CONTEXT = {"owner": LAST_TALKER, "own_numbers": frozenset({OWN, "79990000011"})}


def at(seconds):
    return BEGAN + timedelta(seconds=seconds)


def make_event(kind, seconds, event, **more):
    values = {"session_id": SESSION, "happened_at": at(seconds), "contact": CONTACT, "number": OWN, "direction": "in"}
    return kind(event=event, **values | more)


def ringing(employee_id, seconds):
    return make_event(RingingEvent, seconds, "waiting", employee_id=employee_id)


def lost(seconds=30, **more):
    values = {"is_lost": True, "wait_seconds": seconds, "started_at": at(0), "rung_employee_ids": (IVAN, PETR)}
    return make_event(EndedEvent, seconds, "lost_call", **values | more)


def end(seconds=30, talk=0, **more):
    values = {"is_lost": not talk, "talk_seconds": talk, "total_seconds": seconds, "started_at": at(0)}
    return make_event(EndedEvent, seconds, "call_end", **values | more)


def answered(employee_id, seconds):
    return make_event(AnsweredEvent, seconds, "talk_started", employee_id=employee_id)


def recording(employee_id, seconds, link):
    return make_event(RecordingEvent, seconds, "recorded", employee_id=employee_id, link=link)


def leg(leg_id, *, starts, lasts, talks=None, **more):
    values = {
        "leg_id": leg_id,
        "session_id": SESSION,
        "started_at": at(starts),
        "connected_at": None if talks is None else at(starts + lasts - talks),
        "talk_seconds": talks or 0,
        "total_seconds": lasts,
        "finish_reason": "operator_disconnects" if talks else "operator_not_responsible",
        "is_operator": True,
        "is_talked": bool(talks),
        "contact": CONTACT,
        "number": OWN,
    }
    return CallLeg(**values | more)


def resolution_of(*events, legs=(), row=None, **context):
    """Resolve one call from its events, legs and report row."""
    return resolve(events, UisSnapshot(row=row, legs=tuple(legs)), **CONTEXT | context)


def test_several_phones_make_one_missed_call_owned_by_the_last_rung():
    resolution = resolution_of(ringing(PETR, 2), ringing(IVAN, 9), lost(30), end(30))
    assert (resolution.status, resolution.result, resolution.is_lost) == (
        ResolutionStatus.MISSED,
        Result.NO_ANSWER,
        True,
    )
    assert (resolution.owner_id, resolution.rung_employee_ids, resolution.wait_seconds) == (IVAN, (PETR, IVAN), 30)


def test_phone_that_rang_again_after_others_is_the_last_rung():
    assert resolution_of(ringing(IVAN, 1), ringing(PETR, 5), ringing(IVAN, 9), lost()).owner_id == IVAN


def test_employee_rung_without_an_event_precedes_those_with_one():
    assert resolution_of(ringing(IVAN, 3), lost(rung_employee_ids=(IVAN, PETR))).rung_employee_ids == (PETR, IVAN)


@pytest.mark.parametrize("reason", ["menu", "queue", "out of hours", "switched off"])
def test_call_that_reached_no_phone_is_missed_without_an_owner(reason):
    resolution = resolution_of(lost(12, rung_employee_ids=()), end(12))
    assert (resolution.status, resolution.owner_id, resolution.rung_employee_ids) == (ResolutionStatus.MISSED, None, ())


@pytest.mark.parametrize(
    "evidence",
    [
        answered(IVAN, 5),
        end(60, talk=52),
        recording(IVAN, 90, "https://x"),
        make_event(OtherEvent, 60, "talk_finished"),
    ],
    ids=["answered", "ended", "recorded", "finished"],
)
def test_evidence_of_a_talk_overrides_a_lost_event(evidence):
    for events in itertools.permutations([lost(30), end(30), evidence]):
        resolution = resolution_of(*events)
        assert (resolution.status, resolution.is_lost) == (ResolutionStatus.NEEDS_LEGS, False)


def test_lost_event_before_ringing_does_not_end_the_call():
    resolution = resolution_of(lost(10, rung_employee_ids=()), ringing(IVAN, 15))
    assert (resolution.status, resolution.is_lost) == (ResolutionStatus.NEEDS_LEGS, None)
    ended = resolution_of(lost(10, rung_employee_ids=()), ringing(IVAN, 15), lost(40))
    assert (ended.status, ended.owner_id) == (ResolutionStatus.MISSED, IVAN)


def test_ringing_one_second_after_the_end_is_still_a_missed_call():
    assert resolution_of(ringing(IVAN, 31), lost(30)).status == ResolutionStatus.MISSED


def test_call_without_an_ended_event_is_in_progress():
    assert resolution_of(ringing(IVAN, 2), answered(IVAN, 5)).status == ResolutionStatus.IN_PROGRESS


@pytest.mark.parametrize("more", [{"direction": "out", "is_lost": False}, {"direction": "", "is_lost": None}])
def test_end_without_certain_evidence_of_a_missed_call_needs_legs(more):
    assert resolution_of(end(**more)).status == ResolutionStatus.NEEDS_LEGS


TRANSFER = (
    leg(1, starts=0, lasts=270, talks=260, is_operator=False),
    leg(2, starts=2, lasts=60, talks=52, employee_id=IVAN, called="101", record_ids=("a",)),
    leg(3, starts=62, lasts=208, talks=202, employee_id=PETR, called="102", record_ids=("b",)),
)


def test_transfer_is_one_call_with_both_talks():
    resolution = resolution_of(end(270, talk=254), legs=TRANSFER)
    assert (resolution.status, resolution.result, resolution.talk_seconds) == (
        ResolutionStatus.COMPLETE,
        Result.ANSWERED,
        254,
    )
    assert (resolution.owner_id, resolution.record_ids, resolution.owner_record_ids) == (PETR, ("a", "b"), ("b",))


def test_legs_override_values_of_a_notification():
    contradicting = end(270, talk=3, contact="79990000099", number="74950000009", is_lost=True)
    resolution = resolution_of(contradicting, legs=TRANSFER)
    assert (resolution.contact, resolution.number, resolution.talk_seconds, resolution.started_at) == (
        CONTACT,
        OWN,
        254,
        at(0),
    )


def test_legs_without_a_known_direction_still_need_legs():
    assert resolution_of(end(270, talk=254, direction=""), legs=TRANSFER).status == ResolutionStatus.NEEDS_LEGS


def test_menu_leg_alone_needs_more_legs_after_a_ringing_event():
    menu = leg(1, starts=0, lasts=10, is_operator=False, finish_reason="scenario_disconnects")
    assert (
        resolution_of(end(10, is_lost=None, direction=""), ringing(IVAN, 15), legs=[menu]).status
        == ResolutionStatus.NEEDS_LEGS
    )
    assert (
        resolution_of(end(10), ringing(IVAN, 15), legs=[menu], waits_for_legs=False).status == ResolutionStatus.COMPLETE
    )


def test_contact_is_the_other_number_when_uis_reports_the_employees_own():
    """In click-to-call UIS reports the phone that was rung first as the contact."""
    swapped = leg(
        1, starts=0, lasts=60, talks=50, is_operator=False, contact="79990000011", calling=OWN, called=CONTACT
    )
    resolution = resolution_of(
        end(60, talk=50, contact="79990000011"), legs=[swapped, leg(2, starts=0, lasts=60, talks=50)]
    )
    assert (resolution.contact, resolution.is_internal) == (CONTACT, False)


@pytest.mark.parametrize("number", ["79990000011", OWN, "102"])
def test_call_among_colleagues_is_internal(number):
    resolution = resolution_of(lost(contact=number))
    assert (resolution.contact, resolution.is_internal) == (number, True)


def test_click_to_call_reported_as_incoming_is_outgoing():
    resolution = resolution_of(
        end(60, talk=50, direction="in", attribution={"source": "callapi"}, external_id="click-7"), legs=TRANSFER
    )
    assert (resolution.direction, resolution.result, resolution.is_lost) == ("out", Result.ANSWERED, False)


def test_unanswered_click_to_call_is_not_a_missed_call():
    reported = end(20, direction="in", attribution={"source": "callapi"}, external_id="click-7")
    assert resolution_of(reported).status == ResolutionStatus.NEEDS_LEGS
    unanswered = [
        leg(1, starts=4, lasts=20, is_operator=False, finish_reason="subscriber_busy"),
        leg(2, starts=0, lasts=24, connected_at=at(2), employee_id=IVAN),
    ]
    resolution = resolution_of(reported, legs=unanswered)
    assert (resolution.direction, resolution.result, resolution.candidate_ids) == ("out", Result.BUSY, (IVAN,))


def test_callapi_call_without_our_id_keeps_its_direction():
    assert resolution_of(end(60, talk=50, attribution={"source": "callapi"}, external_id="lead-7")).direction == "in"


def test_talk_on_an_unknown_number_names_the_talker_of_the_event_as_candidate():
    unnamed = [leg(1, starts=0, lasts=60, talks=50, employee_id=None, called="79990000011")]
    resolution = resolution_of(end(60, talk=50, talker_id=IVAN), legs=unnamed)
    assert (resolution.owner_id, resolution.owner_number, resolution.candidate_ids) == (None, "79990000011", (IVAN,))


ROW = EndedEvent(
    event="report",
    session_id=SESSION,
    happened_at=at(30),
    contact=CONTACT,
    number=OWN,
    direction="in",
    is_lost=True,
    talk_seconds=0,
    wait_seconds=30,
    started_at=at(0),
    rung_employee_ids=(PETR, IVAN),
    result=Result.NOT_ALLOWED,
)


def test_missed_call_in_the_report_needs_no_legs():
    resolution = resolution_of(row=ROW)
    assert (resolution.status, resolution.result, resolution.owner_id) == (
        ResolutionStatus.MISSED,
        Result.NOT_ALLOWED,
        IVAN,
    )


def test_answered_event_against_a_missed_report_row_needs_legs():
    assert resolution_of(answered(IVAN, 5), row=ROW).status == ResolutionStatus.NEEDS_LEGS
    assert resolution_of(answered(IVAN, 5), row=ROW, waits_for_legs=False).status == ResolutionStatus.COMPLETE


def test_report_row_replaces_missing_legs():
    row = replace(ROW, is_lost=False, talk_seconds=50, talker_id=PETR, result=Result.ANSWERED, record_ids=("r",))
    assert resolution_of(row=row).status == ResolutionStatus.NEEDS_LEGS
    resolution = resolution_of(row=row, waits_for_legs=False)
    assert (resolution.status, resolution.owner_id, resolution.talk_seconds, resolution.record_ids) == (
        ResolutionStatus.COMPLETE,
        PETR,
        50,
        ("r",),
    )


def test_uis_snapshot_survives_dump_and_load():
    snapshot = UisSnapshot(row=replace(ROW, result=Result.ANSWERED), legs=TRANSFER)
    assert load(dump(snapshot)) == snapshot
    assert load("") == UisSnapshot()


def test_end_in_the_repeated_hour_does_not_move_the_start():
    """A call from 02:59:50 summer time to 02:00:10 winter time: UIS sends no time zone."""
    resolution = resolution_of(end(-3580, talk=20))
    assert resolution.started_at == at(0)


EVENTS = [
    ringing(IVAN, 2),
    ringing(PETR, 6),
    ringing(IVAN, 14),
    answered(PETR, 9),
    lost(30),
    lost(10, rung_employee_ids=()),
    end(30),
    end(60, talk=52, talker_id=IVAN),
    end(60, talk=52, talker_id=PETR, direction=""),
    end(60, is_lost=None, direction="", contact=""),
    recording(IVAN, 90, "https://a"),
    recording(PETR, 3600, "https://b"),
    make_event(OtherEvent, 58, "talk_finished", employee_id=PETR),
    make_event(OtherEvent, 0, "incoming", number="74950000009"),
    lost(30, happened_at=None, started_at=None),
]


@pytest.mark.slow
@settings(max_examples=300)
@given(
    # Few enough of each kind: of a call with more, older events may be lost (`stored_events.KEPT`).
    events=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=12, unique_by=repr).flatmap(
        lambda events: st.tuples(
            st.just(events), st.permutations(events), st.lists(st.sampled_from(events), max_size=6)
        )
    ),
    legs=st.sampled_from([(), TRANSFER, TRANSFER[:1]]),
    row=st.sampled_from([None, ROW]),
    waits_for_legs=st.booleans(),
)
def test_order_and_repeats_do_not_change_the_resolution(events, legs, row, waits_for_legs):
    once, shuffled, repeats = events
    first = resolution_of(*once, legs=legs, row=row, waits_for_legs=waits_for_legs)
    assert resolution_of(*shuffled, *repeats, legs=legs[::-1], row=row, waits_for_legs=waits_for_legs) == first


@pytest.mark.parametrize(
    "events",
    [
        [
            ringing(IVAN, 2),
            ringing(PETR, 6),
            answered(PETR, 9),
            end(60, talk=52),
            lost(10, rung_employee_ids=()),
            recording(PETR, 90, "a"),
        ],
        [ringing(IVAN, 2), ringing(PETR, 6), ringing(IVAN, 14), lost(10, rung_employee_ids=()), lost(30), end(30)],
    ],
    ids=["answered", "missed"],
)
def test_every_order_of_six_events_has_the_same_resolution(events):
    assert len({resolution_of(*order, order[0], order[3]) for order in itertools.permutations(events)}) == 1


@given(events=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=8), later=st.sampled_from(EVENTS))
def test_answered_call_stays_answered_after_any_further_event(events, later):
    if resolution_of(*events).is_lost is False:
        assert resolution_of(*events, later).is_lost is False


@pytest.mark.parametrize("wrong", [datetime(2001, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)])
def test_start_that_no_call_can_have_is_ignored(wrong):
    assert resolution_of(lost(30, started_at=wrong)).started_at == at(0)
    assert resolution_of(lost(30, wait_seconds=None, started_at=wrong), end(31)).started_at == at(0)
    assert resolution_of(ringing(IVAN, 4), lost(30, happened_at=None, started_at=wrong), end(31)).started_at == at(0)


def test_start_is_believed_where_nothing_tells_when_the_call_ended():
    wrong = datetime(2001, 1, 1, tzinfo=UTC)
    assert resolution_of(lost(30, started_at=wrong, happened_at=None)).started_at == wrong


def test_start_in_the_report_replaces_that_of_notifications():
    row = make_event(EndedEvent, 30, "report", is_lost=True, started_at=at(7), result=Result.NO_ANSWER)
    assert resolution_of(lost(30), end(31), row=row).started_at == at(7)
    assert resolution_of(end(60, talk=20), row=row).started_at == at(7)


@pytest.mark.parametrize("is_flagged", [True, False])
def test_call_with_an_outside_party_is_not_internal_because_one_event_knows_only_an_extension(is_flagged):
    short = lost(10, contact="102", is_internal=True)
    outside = end(30, is_internal=is_flagged)
    assert resolution_of(short).is_internal
    assert [resolution_of(*events).is_internal for events in ([short, outside], [outside, short])] == [is_flagged] * 2


def test_call_is_over_at_its_last_end_unless_a_phone_rang_later():
    def is_over(*events):
        return CallEvidence(events, None, ()).is_over

    menu, hung_up = lost(10, rung_employee_ids=()), lost(40)
    assert not is_over(ringing(IVAN, 5))
    assert is_over(ringing(IVAN, 5), menu)
    assert is_over(ringing(IVAN, 11), menu)
    assert not is_over(menu, ringing(IVAN, 15))
    assert is_over(hung_up, ringing(IVAN, 15), menu)


@pytest.mark.parametrize("event", sorted(set(stored_events.KEPT) - {"talk_finished"}))  # which tells of a talk
def test_call_with_as_many_events_as_are_kept_is_not_missed_by_them(event):
    kind = {"waiting": RingingEvent, "lost_call": EndedEvent, "call_end": EndedEvent}.get(event, OtherEvent)
    many = [make_event(kind, 1 + number / 100, event) for number in range(stored_events.KEPT[event])]
    few = many[2:]
    assert resolution_of(*few, lost(30)).status == ResolutionStatus.MISSED
    assert resolution_of(*many, lost(30)).status == ResolutionStatus.NEEDS_LEGS
    row = make_event(EndedEvent, 30, "report", is_lost=True, started_at=at(0), result=Result.NO_ANSWER)
    assert resolution_of(*many, lost(30), row=row).status == ResolutionStatus.MISSED
