"""The probability of no events: from the calls of past weeks, in tenant local time."""

from datetime import UTC, datetime, timedelta
from math import exp, isclose
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_project.operations.alerts.no_events import HOURS_OF_WEEK, WeeklyProfile, chance, is_unlikely

MOSCOW, BERLIN, KOLKATA = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
HOUR = timedelta(hours=1)
MONDAY, SUNDAY = 0, 6


def profile(*, weeks=4, **hours):
    """Return a profile from `mon_10=8` and the like; all other hours have no calls."""
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    counts = [0] * HOURS_OF_WEEK
    for name, count in hours.items():
        day, hour = name.split("_")
        counts[days.index(day) * 24 + int(hour)] = count
    return WeeklyProfile(counts, weeks)


def at(text, zone=MOSCOW):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def test_expected_calls_uses_the_same_hours_of_the_week():
    busy = profile(mon_10=80, mon_11=40, tue_10=500)
    assert busy.expected_calls(at("2026-11-23T10:00"), at("2026-11-23T12:00"), zone=MOSCOW) == 120
    assert busy.expected_calls(at("2026-11-22T10:00"), at("2026-11-22T12:00"), zone=MOSCOW) == 0


def test_expected_calls_of_part_of_an_hour():
    busy = profile(mon_10=80, mon_11=40)
    assert busy.expected_calls(at("2026-11-23T10:30"), at("2026-11-23T11:15"), zone=MOSCOW) == 50


def test_expected_calls_uses_the_local_hour():
    early = profile(mon_9=60)
    nine_in_moscow = at("2026-11-23T09:00").astimezone(UTC)
    assert early.expected_calls(nine_in_moscow, nine_in_moscow + HOUR, zone=MOSCOW) == 60
    assert early.expected_calls(nine_in_moscow, nine_in_moscow + HOUR, zone=BERLIN) == 0
    # Half past eleven there: an hour of ours is half of one and half of the next.
    halves = profile(mon_11=60, mon_12=20)
    assert halves.expected_calls(nine_in_moscow, nine_in_moscow + HOUR, zone=KOLKATA) == 40


def test_expected_calls_across_a_change_of_clocks():
    nights = profile(sun_1=1, sun_2=10, sun_3=100)
    # In Berlin clocks go back at three on 25 October 2026, and forward at two on 29 March.
    autumn = nights.expected_calls(at("2026-10-25T01:00", BERLIN), at("2026-10-25T04:00", BERLIN), zone=BERLIN)
    spring = nights.expected_calls(at("2026-03-29T01:00", BERLIN), at("2026-03-29T04:00", BERLIN), zone=BERLIN)
    assert (autumn, spring) == (121, 101)


def test_expected_calls_looks_back_two_weeks_at_most():
    one_a_week = profile(mon_10=1)
    assert one_a_week.expected_calls(at("2020-01-01T00:00"), at("2026-11-25T00:00"), zone=MOSCOW) == 2


@given(calls=st.floats(0, 500), weeks=st.integers(2, 4))
def test_chance_approaches_poisson_with_more_weeks(calls, weeks):
    assert exp(-calls / weeks) <= chance(calls, weeks) + 1e-12
    assert isclose(chance(calls, 100_000), exp(-calls / 100_000), rel_tol=1e-2)


@given(calls=st.floats(0, 500), more=st.floats(0, 100))
def test_chance_decreases_with_more_expected_calls(calls, more):
    assert chance(calls + more, 4) <= chance(calls, 4)


@pytest.mark.parametrize(
    ("a_day", "least", "most"), [(400, 0.2, 0.4), (50, 1.5, 3.0), (5, 15, 25)], ids=["busy", "usual", "sleepy"]
)
def test_no_events_is_found_after_hours_that_depend_on_traffic(a_day, least, most):
    # Nine hours a day, five days a week, four weeks.
    an_hour = a_day / 9
    usual = WeeklyProfile([round(an_hour * 4)] * 45 + [0] * (HOURS_OF_WEEK - 45), 4)
    found_after_hours = next(
        tenths / 10 for tenths in range(1000) if is_unlikely(an_hour * 4 * tenths / 10, 4, yearly=usual.yearly)
    )
    assert least <= found_after_hours <= most


def test_tenant_without_traffic_is_never_unlikely():
    assert not is_unlikely(0, 4, yearly=profile().yearly)
