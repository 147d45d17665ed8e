"""The reserve of API points for live calls."""

from datetime import UTC, datetime, timedelta

import pytest

from telephony import api_quota
from telephony.uis.types import Limits

NOW = datetime(2024, 10, 25, 7, 0, tzinfo=UTC)
PLENTY = Limits(
    day_limit=3000, day_remaining=2987, day_reset=51959, minute_limit=60, minute_remaining=59, minute_reset=59
)


def wait(*, after: float = 0, is_live: bool = False, **limits: int) -> float:
    stored = api_quota.to_json(Limits(**limits), now=NOW)
    return api_quota.seconds_to_wait(stored, is_live=is_live, now=NOW + timedelta(seconds=after))


def test_limits_of_a_reply_are_stored_with_their_time():
    assert api_quota.to_json(PLENTY, now=NOW) == {
        "day_limit": 3000,
        "day_remaining": 2987,
        "day_reset": 51959,
        "minute_limit": 60,
        "minute_remaining": 59,
        "minute_reset": 59,
        "at": "2024-10-25T07:00:00+00:00",
    }


@pytest.mark.parametrize("is_live", [True, False])
def test_unknown_limits_need_no_wait(is_live):
    assert api_quota.seconds_to_wait({}, is_live=is_live, now=NOW) == 0
    assert wait(is_live=is_live) == 0
    assert wait(is_live=is_live, minute_remaining=0) == 0
    assert wait(is_live=is_live, minute_reset=59) == 0


@pytest.mark.parametrize("is_live", [True, False])
def test_plenty_of_points_needs_no_wait(is_live):
    assert api_quota.seconds_to_wait(api_quota.to_json(PLENTY, now=NOW), is_live=is_live, now=NOW) == 0


@pytest.mark.parametrize(
    ("limit", "remaining", "waits", "waits_live"),
    [
        (60, 13, False, False),
        (60, 12, True, False),  # a fifth of sixty
        (60, 1, True, False),
        (60, 0, True, True),
        (20, 6, False, False),
        (20, 5, True, False),  # at least five
        (0, 5, True, False),
        (0, 6, False, False),
    ],
)
def test_minute_reserve_is_a_fifth_and_at_least_five(limit, remaining, waits, waits_live):
    limits = {"minute_limit": limit, "minute_remaining": remaining, "minute_reset": 40}
    assert wait(**limits) == (40.0 if waits else 0.0)
    assert wait(**limits, is_live=True) == (40.0 if waits_live else 0.0)


@pytest.mark.parametrize(
    ("limit", "remaining", "waits", "waits_live"),
    [
        (3000, 601, False, False),
        (3000, 600, True, False),
        (3000, 1, True, False),
        (3000, 0, True, True),
        (10, 3, False, False),
        (10, 2, True, False),
    ],
)
def test_daily_reserve_is_a_fifth(limit, remaining, waits, waits_live):
    limits = {"day_limit": limit, "day_remaining": remaining, "day_reset": 1500}
    assert wait(**limits) == (1500.0 if waits else 0.0)
    assert wait(**limits, is_live=True) == (1500.0 if waits_live else 0.0)


def test_used_up_points_of_the_day_are_asked_for_every_half_hour():
    limits = {"day_limit": 3000, "day_remaining": 0, "day_reset": 50_000}
    assert [wait(**limits, after=after) for after in (0, 1799, 1800, 40_000)] == [1800.0, 1.0, 0.0, 0.0]
    stored = api_quota.to_json(Limits(**limits), now=NOW)
    assert api_quota.is_low_today(stored, now=NOW + timedelta(hours=5))


def test_unknown_limit_keeps_the_minimum_reserve():
    assert wait(minute_remaining=5, minute_reset=40) == 40
    assert wait(minute_remaining=6, minute_reset=40) == 0
    assert wait(day_remaining=1, day_reset=40) == 0
    assert wait(day_remaining=0, day_reset=40) == 40


@pytest.mark.parametrize(("after", "expected"), [(0, 40.0), (15, 25.0), (39.5, 0.5), (40, 0.0), (4000, 0.0)])
def test_wait_ends_at_the_reset(after, expected):
    assert wait(after=after, minute_remaining=0, minute_reset=40) == expected


def test_wait_is_the_longer_of_minute_and_day():
    used_up = {"minute_remaining": 0, "minute_reset": 40, "day_remaining": 0, "day_reset": 900}
    assert wait(**used_up) == 900
    assert wait(**used_up | {"day_remaining": 100}) == 40
    assert wait(**used_up, after=100) == 800


def test_time_told_by_a_machine_whose_clock_is_ahead_is_no_longer_wait():
    assert wait(after=-25, is_live=True, minute_remaining=0, minute_reset=30) == 30


def test_time_told_before_the_clock_was_set_back_is_unknown():
    assert wait(after=-3600, minute_remaining=0, minute_reset=30, day_remaining=0, day_reset=50_000) == 0


@pytest.mark.parametrize(
    ("stored", "told", "after", "expected"),
    [
        ({}, {}, 0, True),
        (PLENTY, {}, 3599, False),
        (PLENTY, {}, 3600, True),
        (PLENTY, {}, -3600, True),  # the clock was set back
        (PLENTY, {"minute_remaining": 31}, 5, False),
        (PLENTY, {"minute_remaining": 30}, 5, True),  # half of them
        (PLENTY, {"minute_limit": 8, "minute_remaining": 8}, 5, True),  # the reserve is more than half
        (PLENTY, {"day_remaining": 1500}, 5, True),
        (PLENTY, {"day_limit": None}, 5, True),
        ({**PLENTY, "minute_remaining": 3}, {}, 5, True),  # enough again
    ],
)
def test_quota_is_stored_unless_there_was_and_is_plenty(stored, told, after, expected):
    now = NOW + timedelta(seconds=after)
    before = api_quota.to_json(stored, now=NOW) if stored else {}
    assert api_quota.is_news(api_quota.to_json({**PLENTY, **told}, now=now), before, now=now) is expected
