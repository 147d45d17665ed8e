"""When silence is news: by the calls of past weeks, and by the clock of the client."""

from datetime import UTC, datetime, time, timedelta
from math import exp, isclose
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.alarms.silence import HOURS_OF_WEEK, Habit, Work, chance, is_unlikely

MOSCOW, BERLIN, KOLKATA = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
HOUR = timedelta(hours=1)
MONDAY, SUNDAY = 0, 6


def habit(*, weeks=4, **hours):
    """Return a habit from `mon_10=8` and the like; all else is silent."""
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    counts = [0] * HOURS_OF_WEEK
    for name, count in hours.items():
        day, hour = name.split("_")
        counts[days.index(day) * 24 + int(hour)] = count
    return Habit(counts, weeks)


def at(text, zone=MOSCOW):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def test_calls_of_the_same_hours_of_the_week_are_counted():
    busy = habit(mon_10=80, mon_11=40, tue_10=500)
    assert busy.heard_in(at("2026-11-23T10:00"), at("2026-11-23T12:00"), zone=MOSCOW) == 120
    assert busy.heard_in(at("2026-11-22T10:00"), at("2026-11-22T12:00"), zone=MOSCOW) == 0


def test_part_of_an_hour_counts_for_its_part():
    busy = habit(mon_10=80, mon_11=40)
    assert busy.heard_in(at("2026-11-23T10:30"), at("2026-11-23T11:15"), zone=MOSCOW) == 50


def test_hours_are_those_of_the_clients_clock():
    early = habit(mon_9=60)
    nine_in_moscow = at("2026-11-23T09:00").astimezone(UTC)
    assert early.heard_in(nine_in_moscow, nine_in_moscow + HOUR, zone=MOSCOW) == 60
    assert early.heard_in(nine_in_moscow, nine_in_moscow + HOUR, zone=BERLIN) == 0
    # Half past eleven there: an hour of ours is half of one and half of the next.
    halves = habit(mon_11=60, mon_12=20)
    assert halves.heard_in(nine_in_moscow, nine_in_moscow + HOUR, zone=KOLKATA) == 40


def test_hour_that_a_change_of_clocks_repeats_counts_twice_and_one_left_out_does_not():
    nights = habit(sun_1=1, sun_2=10, sun_3=100)
    # In Berlin clocks go back at three on 25 October 2026, and forward at two on 29 March.
    autumn = nights.heard_in(at("2026-10-25T01:00", BERLIN), at("2026-10-25T04:00", BERLIN), zone=BERLIN)
    spring = nights.heard_in(at("2026-03-29T01:00", BERLIN), at("2026-03-29T04:00", BERLIN), zone=BERLIN)
    assert (autumn, spring) == (121, 101)


def test_more_than_two_weeks_are_not_looked_back_over():
    one_a_week = habit(mon_10=1)
    assert one_a_week.heard_in(at("2020-01-01T00:00"), at("2026-11-25T00:00"), zone=MOSCOW) == 2


@given(heard=st.floats(0, 500), weeks=st.integers(2, 4))
def test_chance_is_that_of_poisson_with_a_rate_that_is_only_guessed(heard, weeks):
    assert exp(-heard / weeks) <= chance(heard, weeks) + 1e-12
    assert isclose(chance(heard, 100_000), exp(-heard / 100_000), rel_tol=1e-2)


@given(heard=st.floats(0, 500), more=st.floats(0, 100))
def test_more_calls_in_the_past_make_silence_less_likely(heard, more):
    assert chance(heard + more, 4) <= chance(heard, 4)


@pytest.mark.parametrize(
    ("a_day", "least", "most"), [(400, 0.2, 0.4), (50, 1.5, 3.0), (5, 15, 25)], ids=["busy", "usual", "sleepy"]
)
def test_silence_is_told_after_as_many_working_hours_as_it_takes(a_day, least, most):
    # Nine hours a day, five days a week, four weeks.
    an_hour = a_day / 9
    usual = Habit([round(an_hour * 4)] * 45 + [0] * (HOURS_OF_WEEK - 45), 4)
    told_after = next(
        tenths / 10 for tenths in range(1000) if is_unlikely(an_hour * 4 * tenths / 10, 4, yearly=usual.yearly)
    )
    assert least <= told_after <= most


def test_nobody_who_never_calls_is_missed():
    assert not is_unlikely(0, 4, yearly=habit().yearly)


WORK = Work(time(9), time(18), on_weekends=False)


def worked(work, since, till, zone=MOSCOW):
    return work.longest_in(at(since, zone), at(till, zone), zone=zone)


@pytest.mark.parametrize(
    ("since", "till", "longest"),
    [
        ("2026-11-23T08:00", "2026-11-23T09:59", timedelta(minutes=59)),
        ("2026-11-23T09:30", "2026-11-23T09:59", timedelta(minutes=29)),
        ("2026-11-23T17:30", "2026-11-24T09:20", timedelta(minutes=30)),
        ("2026-11-23T17:00", "2026-11-24T03:00", HOUR),  # It goes on when the day is over.
        ("2026-11-20T17:50", "2026-11-23T08:59", timedelta(minutes=10)),  # a weekend
        ("2026-11-20T18:00", "2026-11-20T23:00", timedelta(0)),
        ("2020-01-01T00:00", "2026-11-23T12:00", 9 * HOUR),
    ],
)
def test_working_hours_are_counted_shift_by_shift(since, till, longest):
    assert worked(WORK, since, till) == longest


def test_night_shift_belongs_to_the_day_it_began():
    night = Work(time(22), time(6), on_weekends=False)
    assert worked(night, "2026-11-28T04:00", "2026-11-28T05:00") == HOUR  # of Friday's
    assert worked(night, "2026-11-30T04:00", "2026-11-30T05:00") == timedelta(0)  # Sunday's is none
    assert worked(Work(time(22), time(6), on_weekends=True), "2026-11-30T04:00", "2026-11-30T05:00") == HOUR


def test_round_the_clock_knows_no_morning():
    always = Work(time(0), time(0), on_weekends=False)
    assert worked(always, "2026-11-23T23:00", "2026-11-24T00:20") == HOUR
    assert worked(always, "2026-11-22T23:00", "2026-11-23T00:20") == timedelta(minutes=20)


def test_shift_is_told_by_the_clients_clock_and_in_real_time():
    ten_in_moscow = at("2026-11-23T10:00")
    assert WORK.longest_in(ten_in_moscow - HOUR, ten_in_moscow, zone=MOSCOW) == HOUR
    assert WORK.longest_in(ten_in_moscow - HOUR, ten_in_moscow, zone=BERLIN) == timedelta(0)
    # The night in which Berlin's clocks go back has an hour more.
    night = Work(time(0), time(6), on_weekends=True)
    assert worked(night, "2026-10-25T00:00", "2026-10-25T06:00", BERLIN) == 7 * HOUR
