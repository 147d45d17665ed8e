"""The resolution of one call from its events, in any order: values in, value out."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.calls.evidence import UisSnapshot, dump, load
from telephony.calls.legs import LAST_TALKER
from telephony.calls.resolution import ResolutionContext, ResolutionStatus, resolve
from telephony.uis.types import AnsweredEvent, CallLeg, EndedEvent, OtherEvent, RecordingEvent, Result, RingingEvent

BEGAN = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
CONTACT, OWN = "79990000001", "74950000001"
IVAN, PETR, ANNA = 300001, 300002, 300003
SESSION = 5139032004
READING = ResolutionContext(owner=LAST_TALKER, own_numbers=frozenset({OWN, "79990000011"}))


def at(seconds):
    return BEGAN + timedelta(seconds=seconds)


def said(kind, seconds, event, **more):
    facts = {"session_id": SESSION, "happened_at": at(seconds), "contact": CONTACT, "number": OWN, "direction": "in"}
    return kind(event=event, **facts | more)


def rings(employee_id, seconds):
    return said(RingingEvent, seconds, "waiting", employee_id=employee_id)


def lost(seconds=30, **more):
    facts = {"is_lost": True, "wait_seconds": seconds, "started_at": at(0), "rung_employee_ids": (IVAN, PETR)}
    return said(EndedEvent, seconds, "lost_call", **facts | more)


def end(seconds=30, talk=0, **more):
    facts = {"is_lost": not talk, "talk_seconds": talk, "total_seconds": seconds, "started_at": at(0)}
    return said(EndedEvent, seconds, "call_end", **facts | more)


def answers(employee_id, seconds):
    return said(AnsweredEvent, seconds, "talk_started", employee_id=employee_id)


def recorded(employee_id, seconds, link):
    return said(RecordingEvent, seconds, "recorded", employee_id=employee_id, link=link)


def leg(leg_id, *, starts, lasts, talks=None, **more):
    facts = {
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
    return CallLeg(**facts | more)


def of(*heard, legs=(), row=None, **reading):
    return resolve(heard, UisSnapshot(row=row, legs=tuple(legs)), replace(READING, **reading))


def test_several_phones_make_one_missed_call_of_who_was_rung_last():
    story = of(rings(PETR, 2), rings(IVAN, 9), lost(30), end(30))
    assert (story.status, story.result, story.is_lost) == (ResolutionStatus.MISSED, Result.NO_ANSWER, True)
    assert (story.owner_id, story.rung_employee_ids, story.wait_seconds) == (IVAN, (PETR, IVAN), 30)


def test_phone_that_rang_twice_rang_last_the_second_time():
    assert of(rings(IVAN, 1), rings(PETR, 5), rings(IVAN, 9), lost()).owner_id == IVAN


def test_who_is_named_without_a_moment_rang_before_who_was_told_of():
    assert of(rings(IVAN, 3), lost(rung_employee_ids=(IVAN, PETR))).rung_employee_ids == (PETR, IVAN)


@pytest.mark.parametrize("reason", ["menu", "queue", "out of hours", "switched off"])
def test_call_that_reached_no_phone_is_missed_once_and_nobodys(reason):
    story = of(lost(12, rung_employee_ids=()), end(12))
    assert (story.status, story.owner_id, story.rung_employee_ids) == (ResolutionStatus.MISSED, None, ())


@pytest.mark.parametrize(
    "talk",
    [answers(IVAN, 5), end(60, talk=52), recorded(IVAN, 90, "https://x"), said(OtherEvent, 60, "talk_finished")],
    ids=["begun", "end", "recorded", "finished"],
)
def test_an_answer_beats_a_miss(talk):
    for heard in itertools.permutations([lost(30), end(30), talk]):
        story = of(*heard)
        assert (story.status, story.is_lost) == (ResolutionStatus.NEEDS_LEGS, False)


def test_menu_that_ended_before_a_phone_rang_is_no_end():
    story = of(lost(10, rung_employee_ids=()), rings(IVAN, 15))
    assert (story.status, story.is_lost) == (ResolutionStatus.NEEDS_LEGS, None)
    again = of(lost(10, rung_employee_ids=()), rings(IVAN, 15), lost(40))
    assert (again.status, again.owner_id) == (ResolutionStatus.MISSED, IVAN)


def test_ring_in_the_second_of_the_end_is_still_a_miss():
    assert of(rings(IVAN, 31), lost(30)).status == ResolutionStatus.MISSED


def test_call_without_an_end_goes_on():
    assert of(rings(IVAN, 2), answers(IVAN, 5)).status == ResolutionStatus.IN_PROGRESS


@pytest.mark.parametrize("more", [{"direction": "out", "is_lost": False}, {"direction": "", "is_lost": None}])
def test_end_that_is_no_missed_call_for_certain_is_asked_about(more):
    assert of(end(**more)).status == ResolutionStatus.NEEDS_LEGS


TRANSFER = (
    leg(1, starts=0, lasts=270, talks=260, is_operator=False),
    leg(2, starts=2, lasts=60, talks=52, employee_id=IVAN, called="101", record_ids=("a",)),
    leg(3, starts=62, lasts=208, talks=202, employee_id=PETR, called="102", record_ids=("b",)),
)


def test_transfer_is_one_call_of_both_talks():
    story = of(end(270, talk=254), legs=TRANSFER)
    assert (story.status, story.result, story.talk_seconds) == (ResolutionStatus.COMPLETE, Result.ANSWERED, 254)
    assert (story.owner_id, story.record_ids, story.owner_record_ids) == (PETR, ("a", "b"), ("b",))


def test_legs_are_right_where_a_template_differs():
    odd = end(270, talk=3, contact="79990000099", number="74950000009", is_lost=True)
    story = of(odd, legs=TRANSFER)
    assert (story.contact, story.number, story.talk_seconds, story.started_at) == (CONTACT, OWN, 254, at(0))


def test_legs_without_a_direction_wait_for_somebody_who_knows_it():
    assert of(end(270, talk=254, direction=""), legs=TRANSFER).status == ResolutionStatus.NEEDS_LEGS


def test_menus_leg_alone_is_awaited_when_a_phone_was_told_to_ring():
    menu = leg(1, starts=0, lasts=10, is_operator=False, finish_reason="scenario_disconnects")
    assert of(end(10, is_lost=None, direction=""), rings(IVAN, 15), legs=[menu]).status == ResolutionStatus.NEEDS_LEGS
    assert of(end(10), rings(IVAN, 15), legs=[menu], waits_for_legs=False).status == ResolutionStatus.COMPLETE


def test_employees_own_number_is_not_the_contact_where_another_is_known():
    """A click: UIS names the phone that was rung first."""
    swapped = leg(
        1, starts=0, lasts=60, talks=50, is_operator=False, contact="79990000011", calling=OWN, called=CONTACT
    )
    story = of(end(60, talk=50, contact="79990000011"), legs=[swapped, leg(2, starts=0, lasts=60, talks=50)])
    assert (story.contact, story.is_internal) == (CONTACT, False)


@pytest.mark.parametrize("number", ["79990000011", OWN, "102"])
def test_call_among_colleagues_is_internal(number):
    story = of(lost(contact=number))
    assert (story.contact, story.is_internal) == (number, True)


def test_click_filed_as_incoming_goes_out():
    story = of(end(60, talk=50, direction="in", source="callapi", external_id="click-7"), legs=TRANSFER)
    assert (story.direction, story.result, story.is_lost) == ("out", Result.ANSWERED, False)


def test_click_nobody_took_is_no_missed_call():
    filed = end(20, direction="in", source="callapi", external_id="click-7")
    assert of(filed).status == ResolutionStatus.NEEDS_LEGS
    unanswered = [
        leg(1, starts=4, lasts=20, is_operator=False, finish_reason="subscriber_busy"),
        leg(2, starts=0, lasts=24, connected_at=at(2), employee_id=IVAN),
    ]
    story = of(filed, legs=unanswered)
    assert (story.direction, story.result, story.candidate_ids) == ("out", Result.BUSY, (IVAN,))


def test_strangers_order_stays_as_it_is_filed():
    assert of(end(60, talk=50, source="callapi", external_id="lead-7")).direction == "in"


def test_talk_on_a_number_uis_has_no_name_for_falls_to_whom_it_told_of():
    unnamed = [leg(1, starts=0, lasts=60, talks=50, employee_id=None, called="79990000011")]
    story = of(end(60, talk=50, talker_id=IVAN), legs=unnamed)
    assert (story.owner_id, story.owner_number, story.candidate_ids) == (None, "79990000011", (IVAN,))


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


def test_missed_call_of_the_report_needs_nothing_more():
    story = of(row=ROW)
    assert (story.status, story.result, story.owner_id) == (ResolutionStatus.MISSED, Result.NOT_ALLOWED, IVAN)


def test_answer_told_of_beats_the_reports_miss_until_the_legs_have_spoken():
    assert of(answers(IVAN, 5), row=ROW).status == ResolutionStatus.NEEDS_LEGS
    assert of(answers(IVAN, 5), row=ROW, waits_for_legs=False).status == ResolutionStatus.COMPLETE


def test_row_stands_in_for_legs_that_never_came():
    row = replace(ROW, is_lost=False, talk_seconds=50, talker_id=PETR, result=Result.ANSWERED, record_ids=("r",))
    assert of(row=row).status == ResolutionStatus.NEEDS_LEGS
    story = of(row=row, waits_for_legs=False)
    assert (story.status, story.owner_id, story.talk_seconds, story.record_ids) == (
        ResolutionStatus.COMPLETE,
        PETR,
        50,
        ("r",),
    )


def test_answers_of_uis_survive_their_row():
    asked = UisSnapshot(row=replace(ROW, result=Result.ANSWERED), legs=TRANSFER)
    assert load(dump(asked)) == asked
    assert load("") == UisSnapshot()


def test_end_in_the_hour_that_clocks_repeat_does_not_move_the_beginning():
    """02:59:50 of summer time, reported as it ends at 02:00:10 of winter time: UIS writes no zone."""
    story = of(end(-3580, talk=20))
    assert story.started_at == at(0)


FACTS = [
    rings(IVAN, 2),
    rings(PETR, 6),
    rings(IVAN, 14),
    answers(PETR, 9),
    lost(30),
    lost(10, rung_employee_ids=()),
    end(30),
    end(60, talk=52, talker_id=IVAN),
    end(60, talk=52, talker_id=PETR, direction=""),
    end(60, is_lost=None, direction="", contact=""),
    recorded(IVAN, 90, "https://a"),
    recorded(PETR, 3600, "https://b"),
    said(OtherEvent, 58, "talk_finished", employee_id=PETR),
    said(OtherEvent, 0, "incoming", number="74950000009"),
    lost(30, happened_at=None, started_at=None),
]


@pytest.mark.slow
@settings(max_examples=300)
@given(
    facts=st.lists(st.sampled_from(FACTS), min_size=1, max_size=12).flatmap(
        lambda facts: st.tuples(st.just(facts), st.permutations(facts), st.lists(st.sampled_from(facts), max_size=6))
    ),
    legs=st.sampled_from([(), TRANSFER, TRANSFER[:1]]),
    row=st.sampled_from([None, ROW]),
    waits_for_legs=st.booleans(),
)
def test_order_and_repeats_are_no_matter(facts, legs, row, waits_for_legs):
    once, shuffled, repeats = facts
    first = of(*once, legs=legs, row=row, waits_for_legs=waits_for_legs)
    assert of(*shuffled, *repeats, legs=legs[::-1], row=row, waits_for_legs=waits_for_legs) == first


@pytest.mark.parametrize(
    "facts",
    [
        [
            rings(IVAN, 2),
            rings(PETR, 6),
            answers(PETR, 9),
            end(60, talk=52),
            lost(10, rung_employee_ids=()),
            recorded(PETR, 90, "a"),
        ],
        [rings(IVAN, 2), rings(PETR, 6), rings(IVAN, 14), lost(10, rung_employee_ids=()), lost(30), end(30)],
    ],
    ids=["answered", "missed"],
)
def test_every_order_of_six_facts_tells_the_same(facts):
    assert len({of(*order, order[0], order[3]) for order in itertools.permutations(facts)}) == 1


@given(facts=st.lists(st.sampled_from(FACTS), min_size=1, max_size=8), more=st.sampled_from(FACTS))
def test_nothing_that_is_told_takes_an_answer_back(facts, more):
    if of(*facts).is_lost is False:
        assert of(*facts, more).is_lost is False
