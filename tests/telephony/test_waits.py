"""Missed callers: values in, value out, compared with a sequential replay of the same calls."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.missed_callers.waits import MissedCall, MissedCaller, Talk, group_waits

NINE = datetime(2026, 3, 10, 9, tzinfo=UTC)
ANN, BOB = "79990000001", "79990000002"


def at(minutes):
    return NINE + timedelta(minutes=minutes)


def is_in_business_hours(at):
    return at.minute < 30


def miss(minutes, contact=ANN, owner=""):
    return MissedCall(contact=contact, at=at(minutes), owner=owner)


def talk(minutes, contact=ANN, length=2):
    return Talk(contact=contact, started_at=at(minutes), ended_at=at(minutes + length))


def group(misses, talks=()):
    return group_waits(misses, talks, is_at_work=is_in_business_hours)


def wait(first, last, missed_count, *, contact=ANN, owner="", is_after_hours=False, closed=None):
    more = {"last_call": 0, "owner": owner, "is_after_hours": is_after_hours}
    times = {"first_at": at(first), "last_at": at(last), "answered_at": None if closed is None else at(closed)}
    return MissedCaller(contact=contact, missed_count=missed_count, **more, **times)


def test_missed_calls_are_grouped_by_caller():
    assert group([miss(5), miss(0), miss(3, BOB)]) == [wait(0, 5, 2), wait(3, 3, 1, contact=BOB)]


def test_talk_closes_the_wait_and_the_next_missed_call_starts_another():
    assert group([miss(0), miss(1), miss(9)], [talk(4)]) == [wait(0, 1, 2, closed=4), wait(9, 9, 1)]
    assert group([miss(0)], [talk(4, BOB)]) == [wait(0, 0, 1)]


def test_missed_call_before_a_talk_is_closed_whenever_it_is_reported():
    known = group([miss(9)], [talk(10)])
    assert [wait.is_open for wait in known] == [False]
    assert group([miss(9), miss(7)], [talk(10)]) == [wait(7, 9, 2, closed=10)]


def test_missed_call_during_a_talk_is_closed():
    assert group([miss(1)], [talk(0, length=5)]) == [wait(1, 1, 1, closed=1)]


def test_missed_call_at_the_end_of_a_talk_stays_open():
    assert group([miss(2)], [talk(0, length=2)]) == [wait(2, 2, 1)]


def test_owner_is_the_owner_of_the_last_call_that_has_one():
    assert group([miss(2), miss(1, owner="b"), miss(0, owner="a")])[0].owner == "b"
    assert group([miss(0)])[0].owner == ""


def test_last_call_is_the_latest():
    calls = [MissedCall(contact=ANN, at=at(minutes), call=key) for key, minutes in ((1, 5), (2, 0), (4, 5))]
    assert group(calls)[0].last_call == 4


@pytest.mark.parametrize(("minutes", "is_after_hours"), [([31, 40], True), ([31, 5], False), ([5], False)])
def test_after_hours_needs_all_calls_outside_business_hours(minutes, is_after_hours):
    assert group([miss(minute) for minute in minutes])[0].is_after_hours == is_after_hours


contacts = st.sampled_from([ANN, BOB])
misses = st.lists(st.builds(miss, st.integers(0, 60), contacts, st.sampled_from(["", "a", "b"])), max_size=12)
talks = st.lists(st.builds(talk, st.integers(0, 60), contacts, st.integers(0, 9)), max_size=6)


def replay(misses, talks):
    """Replay all events, a talk counting at its end; return the open missed calls and the closed waits."""
    events = [(call.at, 1, call) for call in misses] + [(talk.ended_at, 0, talk) for talk in talks]
    waiting, closed = defaultdict(list), []
    for _at, is_miss, event in sorted(events, key=lambda event: event[:2]):
        if is_miss:
            waiting[event.contact].append(event)
        elif calls := waiting.pop(event.contact, []):
            closed.append((event.contact, min(call.at for call in calls), len(calls)))
    return waiting, sorted(closed)


@pytest.mark.slow
@given(misses, talks)
def test_waits_equal_a_sequential_replay(misses, talks):
    found = group(misses, talks)
    waiting, closed = replay(misses, talks)
    assert {
        caller.contact: (caller.first_at, caller.last_at, caller.missed_count) for caller in found if caller.is_open
    } == {
        contact: (min(call.at for call in calls), max(call.at for call in calls), len(calls))
        for contact, calls in waiting.items()
    }
    assert (
        sorted((caller.contact, caller.first_at, caller.missed_count) for caller in found if not caller.is_open)
        == closed
    )
    for caller in found:
        calls = [
            call for call in misses if call.contact == caller.contact and caller.first_at <= call.at <= caller.last_at
        ]
        assert caller.is_after_hours == all(not is_in_business_hours(call.at) for call in calls)
        assert caller.answered_at is None or caller.answered_at >= caller.first_at


@pytest.mark.slow
@given(misses, talks, st.randoms())
def test_order_of_input_does_not_matter(misses, talks, random_source):
    shuffled = [random_source.sample(calls, len(calls)) for calls in (misses, talks)]
    assert group(*shuffled) == group(misses, talks)
