"""The summary of one call's legs."""

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


def leg(leg_id: int, *, starts: int, lasts: int, talks: int | None = None, **more: object) -> CallLeg:
    """Return a leg of an employee; `talks` is how many seconds they are connected, up to the leg's end."""
    values = {
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
    return CallLeg(**values | more)


def outside(leg_id: int, *, starts: int, lasts: int, talks: int | None = None, **more: object) -> CallLeg:
    """Return the leg of the external party."""
    reason = "subscriber_disconnects" if talks else "subscriber_not_responsible"
    return leg(
        leg_id, starts=starts, lasts=lasts, talks=talks, **{"is_operator": False, "finish_reason": reason} | more
    )


def summary_of(
    *legs: CallLeg, expects_talk: bool = True, waits_for_legs: bool = True, **options: object
) -> LegSummary | None:
    return summarise(
        legs, **{"owner": LAST_TALKER, "expects_talk": expects_talk, "waits_for_legs": waits_for_legs} | options
    )


ANSWERED = leg(2, starts=0, lasts=76, talks=65, employee_id=IVAN, called="79990000011")


def test_answered_call_has_the_talk_of_its_employee():
    assert summary_of(ANSWERED) == LegSummary(
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


# Ivan talks for 52 seconds and transfers the call; Petr's phone rings for 6, then Petr talks for 202.
TRANSFER = (
    outside(1, starts=0, lasts=270, talks=260),
    leg(2, starts=2, lasts=60, talks=52, employee_id=IVAN, called="101"),
    leg(3, starts=62, lasts=208, talks=202, employee_id=PETR, called="102"),
)


@pytest.mark.parametrize(
    ("owner", "owner_id", "number"),
    [(FIRST_TALKER, IVAN, "101"), (LAST_TALKER, PETR, "102"), (LONGEST_TALKER, PETR, "102"), ("", PETR, "102")],
)
def test_transferred_call_has_the_owner_by_the_rule(owner, owner_id, number):
    assert summary_of(*TRANSFER, owner=owner) == LegSummary(
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
def test_transfer_to_a_short_talker_has_the_owner_by_the_rule(owner, owner_id):
    long, short = (
        leg(1, starts=0, lasts=210, talks=202, employee_id=IVAN),
        leg(2, starts=210, lasts=60, talks=52, employee_id=PETR),
    )
    found = summary_of(long, short, owner=owner)
    assert (found.owner_id, found.talk_seconds) == (owner_id, 254)


def test_consulted_colleague_is_not_the_owner():
    """Ivan puts the customer on hold, consults Petr, and continues: Petr was connected last, but Ivan talked last."""
    ivan = leg(1, starts=0, lasts=120, talks=110, employee_id=IVAN)
    petr = leg(2, starts=40, lasts=25, talks=20, employee_id=PETR)
    found = summary_of(ivan, petr, owner=LAST_TALKER)
    assert (found.owner_id, found.talk_seconds, found.talker_ids) == (IVAN, 110, (IVAN, PETR))


def test_attended_transfer_belongs_to_the_second_employee():
    """Ivan consults Petr, then transfers the customer."""
    ivan = leg(1, starts=0, lasts=60, talks=52, employee_id=IVAN)
    petr = leg(2, starts=40, lasts=225, talks=220, employee_id=PETR)
    found = summary_of(ivan, petr, owner=LAST_TALKER)
    assert (found.owner_id, found.talk_seconds) == (PETR, 257)


def test_talk_time_of_a_parked_call_excludes_the_parking():
    ivan = leg(1, starts=0, lasts=62, talks=52, employee_id=IVAN)
    petr = leg(2, starts=122, lasts=208, talks=202, employee_id=PETR)
    found = summary_of(outside(3, starts=0, lasts=330, talks=320), ivan, petr, owner=LAST_TALKER)
    assert (found.owner_id, found.talk_seconds, found.wait_seconds, found.ended_at) == (PETR, 254, 10, at(330))


def test_coach_leg_is_ignored():
    coach = leg(3, starts=20, lasts=200, talks=190, employee_id=ANNA, is_coach=True, record_ids=("c",))
    found = summary_of(ANSWERED, coach, owner=LAST_TALKER)
    assert (found.owner_id, found.talk_seconds, found.rung_employee_ids) == (IVAN, 65, (IVAN,))
    assert record_ids([CallLeg(**dict(ANSWERED) | {"record_ids": ("a",)}), coach]) == ("a",)


def test_menu_leg_alone_is_incomplete_after_later_activity():
    menu = outside(1, starts=0, lasts=10, finish_reason="scenario_disconnects")
    assert summary_of(menu, expects_talk=False, last_activity_at=at(15)) is None
    assert summary_of(menu, expects_talk=False, last_activity_at=at(11)).result == Result.NO_ANSWER
    assert (
        summary_of(menu, expects_talk=False, last_activity_at=at(15), waits_for_legs=False).result == Result.NO_ANSWER
    )
    answer = leg(2, starts=15, lasts=40, talks=30, employee_id=IVAN)
    assert summary_of(menu, answer, last_activity_at=at(15)).result == Result.ANSWERED


def test_fax_session_is_an_answered_call():
    fax = outside(1, starts=0, lasts=40, finish_reason="fax_session_done")
    assert summary_of(fax, expects_talk=False).result == Result.ANSWERED


def test_recordings_of_a_transfer_are_listed_in_order_without_duplicates():
    legs = (
        outside(1, starts=0, lasts=270, talks=260, record_ids=("a", "b")),
        leg(3, starts=62, lasts=208, talks=202, employee_id=PETR, record_ids=("b",)),
        leg(2, starts=2, lasts=60, talks=52, employee_id=IVAN, record_ids=("a",)),
    )
    assert record_ids(legs) == ("a", "b")
    assert record_ids(legs, owner_id=PETR) == ("b",)


def test_last_talker_is_by_the_end_of_the_talk_not_by_ringing():
    rung_first = leg(1, starts=0, lasts=100, talks=50, employee_id=IVAN)
    rung_later = leg(2, starts=10, lasts=40, talks=30, employee_id=PETR)
    assert summary_of(rung_first, rung_later, owner=LAST_TALKER).owner_id == IVAN
    assert summary_of(rung_first, rung_later, owner=FIRST_TALKER).owner_id == PETR


def test_longest_talker_is_by_the_sum_of_an_employees_legs():
    legs = (
        leg(1, starts=0, lasts=40, talks=40, employee_id=IVAN),
        leg(2, starts=40, lasts=60, talks=60, employee_id=PETR),
        leg(3, starts=100, lasts=30, talks=30, employee_id=IVAN),
    )
    found = summary_of(*legs, owner=LONGEST_TALKER)
    assert (found.owner_id, found.talk_seconds, found.rung_employee_ids) == (IVAN, 130, (PETR, IVAN))


def test_talkers_without_an_employee_are_distinguished_by_number():
    legs = (
        leg(1, starts=0, lasts=40, talks=40, called="79990000011"),
        leg(2, starts=40, lasts=60, talks=60, called="79990000012"),
        leg(3, starts=100, lasts=30, talks=30, called="79990000011"),
    )
    found = summary_of(*legs, owner=LONGEST_TALKER)
    assert (found.owner_id, found.owner_number, found.rung_employee_ids) == (None, "79990000011", ())


@pytest.mark.parametrize("owner", [FIRST_TALKER, LAST_TALKER, LONGEST_TALKER])
def test_talker_without_an_employee_gives_the_owner_number(owner):
    found = summary_of(CallLeg(**dict(ANSWERED) | {"employee_id": None}), owner=owner)
    assert (found.result, found.owner_id, found.owner_number) == (Result.ANSWERED, None, "79990000011")


def test_contacts_own_leg_is_not_counted_as_a_second_talk():
    found = summary_of(ANSWERED, outside(1, starts=0, lasts=76, talks=76))
    assert (found.talk_seconds, found.owner_id, found.wait_seconds) == (65, IVAN, 11)


def test_contacts_leg_alone_is_answered_when_a_talk_is_expected():
    alone = outside(1, starts=0, lasts=76, talks=65)
    assert summary_of(alone) is None
    found = summary_of(alone, waits_for_legs=False)
    assert (found.result, found.owner_id, found.owner_number, found.talk_seconds) == (Result.ANSWERED, None, "", 65)
    assert found.wait_seconds == 11


def test_contact_connected_only_to_a_menu_is_not_answered():
    found = summary_of(outside(1, starts=0, lasts=30, talks=30), expects_talk=False)
    assert (found.result, found.talk_seconds, found.wait_seconds) == (Result.NO_ANSWER, 0, 30)


def test_rung_employees_are_listed_once_by_their_last_ringing():
    legs = (
        leg(4, starts=30, lasts=10, employee_id=IVAN),
        leg(3, starts=20, lasts=10, employee_id=ANNA),
        leg(2, starts=10, lasts=10, employee_id=None),
        leg(1, starts=10, lasts=10, employee_id=IVAN),
        outside(5, starts=0, lasts=40, employee_id=PETR),
    )
    assert summary_of(*legs, expects_talk=False).rung_employee_ids == (ANNA, IVAN)


@pytest.mark.parametrize("expects_talk", [True, False])
@pytest.mark.parametrize("waits_for_legs", [True, False])
def test_no_legs_give_no_summary(expects_talk, waits_for_legs):
    assert summary_of(expects_talk=expects_talk, waits_for_legs=waits_for_legs) is None


RINGING = leg(3, starts=80, lasts=0, finish_reason="", employee_id=PETR)


def test_unfinished_legs_give_no_summary_yet():
    assert summary_of(ANSWERED, RINGING) is None
    assert summary_of(ANSWERED, RINGING, waits_for_legs=False).owner_id == IVAN


def test_legs_without_an_expected_talk_give_no_summary_yet():
    unanswered = leg(1, starts=0, lasts=30, employee_id=IVAN)
    assert summary_of(unanswered) is None
    assert summary_of(unanswered, waits_for_legs=False).result == Result.NO_ANSWER
    assert summary_of(unanswered, expects_talk=False).result == Result.NO_ANSWER


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        ("subscriber_busy", Result.BUSY),
        ("subscriber_not_responsible", Result.NO_ANSWER),
        ("subscriber_number_problems", Result.FAILED),
        ("no_money", Result.NOT_ALLOWED),
        ("unknown_reason", Result.UNKNOWN),
    ],
)
def test_unanswered_outgoing_call_has_the_result_of_the_outside_leg(reason, result):
    employee = leg(1, starts=0, lasts=25, employee_id=IVAN, connected_at=at(3), finish_reason="operator_disconnects")
    contact = outside(2, starts=4, lasts=20, finish_reason=reason)
    found = summary_of(employee, contact, expects_talk=False)
    assert (found.result, found.owner_id, found.talk_seconds, found.wait_seconds) == (result, None, 0, 25)


def test_outside_leg_gives_the_result_even_if_another_leg_started_later():
    contact = outside(1, starts=0, lasts=20, finish_reason="subscriber_busy")
    employee = leg(2, starts=4, lasts=5, finish_reason="operator_disconnects")
    assert summary_of(contact, employee, expects_talk=False).result == Result.BUSY


def test_unanswered_call_without_an_outside_leg_has_the_result_of_its_last_leg():
    legs = (
        leg(1, starts=0, lasts=10, finish_reason="operator_not_responsible"),
        leg(2, starts=10, lasts=10, finish_reason="operator_busy"),
    )
    assert summary_of(*legs, expects_talk=False).result == Result.BUSY


def test_number_is_the_first_known_and_contacts_are_all_known():
    legs = (
        leg(1, starts=0, lasts=10, talks=5, contact="", number=""),
        leg(2, starts=10, lasts=10, talks=5),
        leg(3, starts=20, lasts=10, talks=5, contact="79990000009", number="74950000009"),
    )
    found = summary_of(*legs)
    assert (found.contacts, found.number) == ((CONTACT, "79990000009"), OWN)
    empty = summary_of(legs[0])
    assert (empty.contacts, empty.number) == ((), "")


def test_numbers_of_the_outside_leg_are_separate_from_the_contacts():
    legs = (
        outside(1, starts=0, lasts=10, talks=5, contact="", calling=OWN, called=CONTACT),
        leg(2, starts=1, lasts=9, talks=5, contact="79990000009", calling=OWN, called="79990000011"),
    )
    assert (summary_of(*legs).contacts, summary_of(*legs).sides) == (("79990000009",), (OWN, CONTACT))


def test_talk_without_a_connection_time_counts_from_the_legs_start():
    found = summary_of(outside(1, starts=0, lasts=60), leg(2, starts=7, lasts=50, talks=50, connected_at=None))
    assert found.wait_seconds == 7


def test_call_ends_with_the_leg_that_ends_last():
    assert summary_of(leg(1, starts=0, lasts=100, talks=5), leg(2, starts=50, lasts=20, talks=5)).ended_at == at(100)


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
def test_order_of_the_legs_does_not_change_the_summary(calls, owner, expects_talk, waits_for_legs):
    legs, shuffled = calls
    options = {"owner": owner, "expects_talk": expects_talk, "waits_for_legs": waits_for_legs}
    assert summarise(legs, **options) == summarise(shuffled, **options)


@pytest.mark.slow
@given(legs=CALLS, owner=st.sampled_from([FIRST_TALKER, LAST_TALKER, LONGEST_TALKER]), expects_talk=st.booleans())
def test_summary_is_consistent(legs, owner, expects_talk):
    found = summary_of(*legs, owner=owner, expects_talk=expects_talk, waits_for_legs=False)
    talkers = {leg.employee_id for leg in legs if leg.is_operator and leg.is_talked}
    assert found.owner_id in talkers | {None}
    assert (found.talk_seconds > 0) <= (found.result == Result.ANSWERED)
    assert found.started_at <= found.ended_at
    assert found.wait_seconds >= 0


def test_talk_that_seems_to_start_before_the_call_has_no_wait():
    """02:59:50 summer time, then 02:00:10 winter time: UIS sends no time zone."""
    across_dst_change = CallLeg(**dict(ANSWERED) | {"connected_at": at(-3580)})
    found = summary_of(across_dst_change)
    assert found is not None
    assert found.wait_seconds == 0
