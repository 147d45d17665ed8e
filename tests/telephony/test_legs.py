"""The summary of one call's legs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.calls.legs import FIRST_TALKER, LAST_TALKER, LONGEST_TALKER, LegSummary, record_ids, summarise
from telephony.uis.types import CallLeg, Result

BEGAN = datetime(2024, 10, 25, 7, 0, tzinfo=UTC)
CONTACT, OWN = "79990000001", "74950000001"
IVAN, PETR, ANNA = 300001, 300002, 300003


def at(seconds: int) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def leg(leg_id: int, *, starts: int, lasts: int, talks: int | None = None, **said: object) -> CallLeg:
    """Return a leg of an employee; `talks` is how many seconds they are connected, up to the leg's end."""
    told = {
        "leg_id": leg_id,
        "session_id": 1,
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
    return CallLeg(**told | said)


def outside(leg_id: int, *, starts: int, lasts: int, talks: int | None = None, **said: object) -> CallLeg:
    """Return the outside party's own leg."""
    reason = "subscriber_disconnects" if talks else "subscriber_not_responsible"
    return leg(
        leg_id, starts=starts, lasts=lasts, talks=talks, **{"is_operator": False, "finish_reason": reason} | said
    )


def of(*legs: CallLeg, expects_talk: bool = True, waits_for_legs: bool = True, **asked: object) -> LegSummary | None:
    return summarise(
        legs, **{"owner": LAST_TALKER, "expects_talk": expects_talk, "waits_for_legs": waits_for_legs} | asked
    )


ANSWERED = leg(2, starts=0, lasts=76, talks=65, employee_id=IVAN, called="79990000011")


def test_answered_call_is_the_talk_of_its_employee():
    assert of(ANSWERED) == LegSummary(
        result=Result.ANSWERED,
        owner_id=IVAN,
        owner_number="79990000011",
        talk_seconds=65,
        wait_seconds=11,
        started_at=at(0),
        ended_at=at(76),
        contacts=(CONTACT,),
        number=OWN,
        rung_employee_ids=(IVAN,),
        talker_ids=(IVAN,),
        finish_reason="operator_disconnects",
    )


# Ivan talks for 52 seconds and hands over; Petr's phone rings for 6, then he talks for 202.
TRANSFER = (
    outside(1, starts=0, lasts=270, talks=260),
    leg(2, starts=2, lasts=60, talks=52, employee_id=IVAN, called="101"),
    leg(3, starts=62, lasts=208, talks=202, employee_id=PETR, called="102"),
)


@pytest.mark.parametrize(
    ("owner", "owner_id", "number"),
    [(FIRST_TALKER, IVAN, "101"), (LAST_TALKER, PETR, "102"), (LONGEST_TALKER, PETR, "102"), ("", PETR, "102")],
)
def test_transfer_belongs_to_whom_the_rule_says(owner, owner_id, number):
    assert of(*TRANSFER, owner=owner) == LegSummary(
        result=Result.ANSWERED,
        owner_id=owner_id,
        owner_number=number,
        talk_seconds=254,
        wait_seconds=10,
        started_at=at(0),
        ended_at=at(270),
        contacts=(CONTACT, CONTACT, CONTACT),
        number=OWN,
        rung_employee_ids=(IVAN, PETR),
        talker_ids=(IVAN, PETR),
        finish_reason="subscriber_disconnects",
    )


@pytest.mark.parametrize(("owner", "owner_id"), [(FIRST_TALKER, IVAN), (LAST_TALKER, PETR), (LONGEST_TALKER, IVAN)])
def test_transfer_back_to_the_short_talker_belongs_to_the_long_one(owner, owner_id):
    long, short = (
        leg(1, starts=0, lasts=210, talks=202, employee_id=IVAN),
        leg(2, starts=210, lasts=60, talks=52, employee_id=PETR),
    )
    found = of(long, short, owner=owner)
    assert (found.owner_id, found.talk_seconds) == (owner_id, 254)


def test_colleague_asked_in_the_middle_does_not_get_the_call():
    """Ivan puts the customer on hold, consults Petr, and continues: Petr was connected last, but Ivan talked last."""
    ivan = leg(1, starts=0, lasts=120, talks=110, employee_id=IVAN)
    petr = leg(2, starts=40, lasts=25, talks=20, employee_id=PETR)
    found = of(ivan, petr, owner=LAST_TALKER)
    assert (found.owner_id, found.talk_seconds, found.talker_ids) == (IVAN, 110, (IVAN, PETR))


def test_attended_transfer_belongs_to_who_took_it_over():
    """Ivan consults Petr, then transfers the customer."""
    ivan = leg(1, starts=0, lasts=60, talks=52, employee_id=IVAN)
    petr = leg(2, starts=40, lasts=225, talks=220, employee_id=PETR)
    found = of(ivan, petr, owner=LAST_TALKER)
    assert (found.owner_id, found.talk_seconds) == (PETR, 257)


def test_parked_call_is_two_talks_without_the_time_between():
    ivan = leg(1, starts=0, lasts=62, talks=52, employee_id=IVAN)
    petr = leg(2, starts=122, lasts=208, talks=202, employee_id=PETR)
    found = of(outside(3, starts=0, lasts=330, talks=320), ivan, petr, owner=LAST_TALKER)
    assert (found.owner_id, found.talk_seconds, found.wait_seconds, found.ended_at) == (PETR, 254, 10, at(330))


def test_coach_who_listens_in_neither_talks_nor_rings():
    coach = leg(3, starts=20, lasts=200, talks=190, employee_id=ANNA, is_coach=True, record_ids=("c",))
    found = of(ANSWERED, coach, owner=LAST_TALKER)
    assert (found.owner_id, found.talk_seconds, found.rung_employee_ids) == (IVAN, 65, (IVAN,))
    assert record_ids([replace(ANSWERED, record_ids=("a",)), coach]) == ("a",)


def test_menu_that_ends_before_a_phone_rings_is_not_the_whole_call():
    menu = outside(1, starts=0, lasts=10, finish_reason="scenario_disconnects")
    assert of(menu, expects_talk=False, last_activity_at=at(15)) is None
    assert of(menu, expects_talk=False, last_activity_at=at(11)).result == Result.NO_ANSWER
    assert of(menu, expects_talk=False, last_activity_at=at(15), waits_for_legs=False).result == Result.NO_ANSWER
    answer = leg(2, starts=15, lasts=40, talks=30, employee_id=IVAN)
    assert of(menu, answer, last_activity_at=at(15)).result == Result.ANSWERED


def test_fax_is_no_missed_call():
    fax = outside(1, starts=0, lasts=40, finish_reason="fax_session_done")
    assert of(fax, expects_talk=False).result == Result.ANSWERED


def test_recordings_before_and_after_a_transfer_are_named_in_turn_and_once():
    legs = (
        outside(1, starts=0, lasts=270, talks=260, record_ids=("a", "b")),
        leg(3, starts=62, lasts=208, talks=202, employee_id=PETR, record_ids=("b",)),
        leg(2, starts=2, lasts=60, talks=52, employee_id=IVAN, record_ids=("a",)),
    )
    assert record_ids(legs) == ("a", "b")
    assert record_ids(legs, owner_id=PETR) == ("b",)


def test_last_talker_is_who_talked_last_not_who_was_rung_last():
    rung_first = leg(1, starts=0, lasts=100, talks=50, employee_id=IVAN)
    rung_later = leg(2, starts=10, lasts=40, talks=30, employee_id=PETR)
    assert of(rung_first, rung_later, owner=LAST_TALKER).owner_id == IVAN
    assert of(rung_first, rung_later, owner=FIRST_TALKER).owner_id == PETR


def test_two_legs_of_one_employee_are_added_up_for_the_longest():
    legs = (
        leg(1, starts=0, lasts=40, talks=40, employee_id=IVAN),
        leg(2, starts=40, lasts=60, talks=60, employee_id=PETR),
        leg(3, starts=100, lasts=30, talks=30, employee_id=IVAN),
    )
    found = of(*legs, owner=LONGEST_TALKER)
    assert (found.owner_id, found.talk_seconds, found.rung_employee_ids) == (IVAN, 130, (PETR, IVAN))


def test_talkers_without_an_employee_are_told_apart_by_their_numbers():
    legs = (
        leg(1, starts=0, lasts=40, talks=40, called="79990000011"),
        leg(2, starts=40, lasts=60, talks=60, called="79990000012"),
        leg(3, starts=100, lasts=30, talks=30, called="79990000011"),
    )
    found = of(*legs, owner=LONGEST_TALKER)
    assert (found.owner_id, found.owner_number, found.rung_employee_ids) == (None, "79990000011", ())


@pytest.mark.parametrize("owner", [FIRST_TALKER, LAST_TALKER, LONGEST_TALKER])
def test_talker_without_an_employee_leaves_his_number(owner):
    found = of(replace(ANSWERED, employee_id=None), owner=owner)
    assert (found.result, found.owner_id, found.owner_number) == (Result.ANSWERED, None, "79990000011")


def test_contact_whose_own_leg_talked_is_not_counted_twice():
    found = of(ANSWERED, outside(1, starts=0, lasts=76, talks=76))
    assert (found.talk_seconds, found.owner_id, found.wait_seconds) == (65, IVAN, 11)


def test_contact_who_talked_to_nobody_known_is_answered_where_a_talk_is_expected():
    alone = outside(1, starts=0, lasts=76, talks=65)
    assert of(alone) is None
    found = of(alone, waits_for_legs=False)
    assert (found.result, found.owner_id, found.owner_number, found.talk_seconds) == (Result.ANSWERED, None, "", 65)
    assert found.wait_seconds == 11


def test_contact_who_heard_only_a_menu_did_not_talk():
    found = of(outside(1, starts=0, lasts=30, talks=30), expects_talk=False)
    assert (found.result, found.talk_seconds, found.wait_seconds) == (Result.NO_ANSWER, 0, 30)


def test_rung_employees_are_named_once_in_the_order_of_their_last_ring():
    legs = (
        leg(4, starts=30, lasts=10, employee_id=IVAN),
        leg(3, starts=20, lasts=10, employee_id=ANNA),
        leg(2, starts=10, lasts=10, employee_id=None),
        leg(1, starts=10, lasts=10, employee_id=IVAN),
        outside(5, starts=0, lasts=40, employee_id=PETR),
    )
    assert of(*legs, expects_talk=False).rung_employee_ids == (ANNA, IVAN)


@pytest.mark.parametrize("expects_talk", [True, False])
@pytest.mark.parametrize("waits_for_legs", [True, False])
def test_no_legs_are_no_call(expects_talk, waits_for_legs):
    assert of(expects_talk=expects_talk, waits_for_legs=waits_for_legs) is None


RINGING = leg(3, starts=80, lasts=0, finish_reason="", employee_id=PETR)


def test_legs_that_still_run_are_awaited():
    assert of(ANSWERED, RINGING) is None
    assert of(ANSWERED, RINGING, waits_for_legs=False).owner_id == IVAN


def test_legs_without_the_talk_uis_told_of_are_awaited():
    silent = leg(1, starts=0, lasts=30, employee_id=IVAN)
    assert of(silent) is None
    assert of(silent, waits_for_legs=False).result == Result.NO_ANSWER
    assert of(silent, expects_talk=False).result == Result.NO_ANSWER


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        ("subscriber_busy", Result.BUSY),
        ("subscriber_not_responsible", Result.NO_ANSWER),
        ("subscriber_number_problems", Result.FAILED),
        ("no_money", Result.NOT_ALLOWED),
        ("a_word_of_tomorrow", Result.UNKNOWN),
    ],
)
def test_unanswered_outgoing_call_ends_as_the_outside_leg_says(reason, result):
    employee = leg(1, starts=0, lasts=25, employee_id=IVAN, connected_at=at(3), finish_reason="operator_disconnects")
    contact = outside(2, starts=4, lasts=20, finish_reason=reason)
    found = of(employee, contact, expects_talk=False)
    assert (found.result, found.owner_id, found.talk_seconds, found.wait_seconds) == (result, None, 0, 25)


def test_unanswered_outgoing_call_ends_as_the_outside_leg_says_even_if_another_began_later():
    contact = outside(1, starts=0, lasts=20, finish_reason="subscriber_busy")
    employee = leg(2, starts=4, lasts=5, finish_reason="operator_disconnects")
    assert of(contact, employee, expects_talk=False).result == Result.BUSY


def test_unanswered_call_without_an_outside_leg_ends_as_its_last_leg_says():
    legs = (
        leg(1, starts=0, lasts=10, finish_reason="operator_not_responsible"),
        leg(2, starts=10, lasts=10, finish_reason="operator_busy"),
    )
    assert of(*legs, expects_talk=False).result == Result.BUSY


def test_number_and_contact_are_the_first_that_are_known():
    legs = (
        leg(1, starts=0, lasts=10, talks=5, contact="", number=""),
        leg(2, starts=10, lasts=10, talks=5),
        leg(3, starts=20, lasts=10, talks=5, contact="79990000009", number="74950000009"),
    )
    found = of(*legs)
    assert (found.contacts, found.number) == ((CONTACT, "79990000009"), OWN)
    nothing = of(legs[0])
    assert (nothing.contacts, nothing.number) == ((), "")


def test_sides_of_the_outside_leg_are_kept_apart_from_whom_uis_names():
    legs = (
        outside(1, starts=0, lasts=10, talks=5, contact="", calling=OWN, called=CONTACT),
        leg(2, starts=1, lasts=9, talks=5, contact="79990000009", calling=OWN, called="79990000011"),
    )
    assert (of(*legs).contacts, of(*legs).sides) == (("79990000009",), (OWN, CONTACT))


def test_talk_without_a_time_of_connection_counts_from_its_start():
    found = of(outside(1, starts=0, lasts=60), leg(2, starts=7, lasts=50, talks=50, connected_at=None))
    assert found.wait_seconds == 7


def test_call_ends_with_its_longest_leg():
    assert of(leg(1, starts=0, lasts=100, talks=5), leg(2, starts=50, lasts=20, talks=5)).ended_at == at(100)


def legs_of(leg_id: int) -> st.SearchStrategy[CallLeg]:
    return st.builds(
        leg,
        st.just(leg_id),
        starts=st.integers(0, 5),
        lasts=st.integers(5, 9),
        talks=st.none() | st.integers(0, 5),
        employee_id=st.sampled_from([None, IVAN, PETR, ANNA]),
        is_operator=st.booleans(),
        called=st.sampled_from(["101", "102"]),
        contact=st.sampled_from(["", CONTACT, "79990000009"]),
        finish_reason=st.sampled_from(["", "operator_busy", "subscriber_disconnects", "no_money"]),
    )


CALLS = st.integers(1, 5).flatmap(lambda count: st.tuples(*[legs_of(number) for number in range(count)]))


@pytest.mark.slow
@given(
    calls=CALLS.flatmap(lambda legs: st.tuples(st.just(legs), st.permutations(legs))),
    owner=st.sampled_from([FIRST_TALKER, LAST_TALKER, LONGEST_TALKER]),
    expects_talk=st.booleans(),
    waits_for_legs=st.booleans(),
)
def test_order_of_the_legs_is_no_matter(calls, owner, expects_talk, waits_for_legs):
    legs, shuffled = calls
    asked = {"owner": owner, "expects_talk": expects_talk, "waits_for_legs": waits_for_legs}
    assert summarise(legs, **asked) == summarise(shuffled, **asked)


@pytest.mark.slow
@given(legs=CALLS, owner=st.sampled_from([FIRST_TALKER, LAST_TALKER, LONGEST_TALKER]), expects_talk=st.booleans())
def test_summary_is_in_itself_consistent(legs, owner, expects_talk):
    found = of(*legs, owner=owner, expects_talk=expects_talk, waits_for_legs=False)
    talkers = {one.employee_id for one in legs if one.is_operator and one.is_talked}
    assert found.owner_id in talkers | {None}
    assert (found.talk_seconds > 0) <= (found.result == Result.ANSWERED)
    assert found.started_at <= found.ended_at
    assert found.wait_seconds >= 0


def test_talk_that_seems_to_begin_before_its_call_has_no_wait():
    """02:59:50 of summer time, then 02:00:10 of winter time: UIS writes no zone."""
    odd = replace(ANSWERED, connected_at=at(-3580))
    found = of(odd)
    assert found is not None
    assert found.wait_seconds == 0
