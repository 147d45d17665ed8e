"""Business hours: in the client's time zone, past midnight, over a weekend, at DST changes."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from connector_project.core.business_hours import BusinessHours

MOSCOW, BERLIN = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)


def at(text, zone=MOSCOW):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


WORK = BusinessHours(time(9), time(18), on_weekends=False)


def longest_overlap_of(work, since, till, zone=MOSCOW):
    return work.longest_overlap(at(since, zone), at(till, zone), zone=zone)


@pytest.mark.parametrize(
    ("since", "till", "longest"),
    [
        ("2026-11-23T08:00", "2026-11-23T09:59", timedelta(minutes=59)),
        ("2026-11-23T09:30", "2026-11-23T09:59", timedelta(minutes=29)),
        ("2026-11-23T17:30", "2026-11-24T09:20", timedelta(minutes=30)),
        ("2026-11-23T17:00", "2026-11-24T03:00", HOUR),  # of which one is before 18:00
        ("2026-11-20T17:50", "2026-11-23T08:59", timedelta(minutes=10)),  # a weekend
        ("2026-11-20T18:00", "2026-11-20T23:00", timedelta(0)),
        ("2020-01-01T00:00", "2026-11-23T12:00", 9 * HOUR),
    ],
)
def test_longest_overlap_is_with_a_single_shift(since, till, longest):
    assert longest_overlap_of(WORK, since, till) == longest


def test_night_shift_belongs_to_the_day_of_its_start():
    night = BusinessHours(time(22), time(6), on_weekends=False)
    assert longest_overlap_of(night, "2026-11-28T04:00", "2026-11-28T05:00") == HOUR  # Friday's shift
    assert longest_overlap_of(night, "2026-11-30T04:00", "2026-11-30T05:00") == timedelta(
        0
    )  # there is no shift on Sunday
    assert (
        longest_overlap_of(BusinessHours(time(22), time(6), on_weekends=True), "2026-11-30T04:00", "2026-11-30T05:00")
        == HOUR
    )


def test_overlap_around_the_clock_spans_midnight():
    always = BusinessHours(time(0), time(0), on_weekends=False)
    assert longest_overlap_of(always, "2026-11-23T23:00", "2026-11-24T00:20") == HOUR
    assert longest_overlap_of(always, "2026-11-22T23:00", "2026-11-23T00:20") == timedelta(minutes=20)


def test_overlap_uses_local_time_and_real_durations():
    ten_in_moscow = at("2026-11-23T10:00")
    assert WORK.longest_overlap(ten_in_moscow - HOUR, ten_in_moscow, zone=MOSCOW) == HOUR
    assert WORK.longest_overlap(ten_in_moscow - HOUR, ten_in_moscow, zone=BERLIN) == timedelta(0)
    # In Berlin this night has an hour more.
    night = BusinessHours(time(0), time(6), on_weekends=True)
    assert longest_overlap_of(night, "2026-10-25T00:00", "2026-10-25T06:00", BERLIN) == 7 * HOUR


@pytest.mark.parametrize(
    ("moment", "is_at_work"),
    [
        ("2026-11-23T08:59:59", False),
        ("2026-11-23T09:00:00", True),
        ("2026-11-23T17:59:59", True),
        ("2026-11-23T18:00:00", False),
        ("2026-11-22T12:00:00", False),  # a Sunday
    ],
)
def test_contains_includes_the_start_and_excludes_the_end(moment, is_at_work):
    assert WORK.contains(at(moment), zone=MOSCOW) == is_at_work
    assert WORK.contains(at(moment).astimezone(UTC), zone=MOSCOW) == is_at_work


def test_contains_after_midnight_uses_the_shift_of_the_day_before():
    night = BusinessHours(time(22), time(6), on_weekends=False)
    assert night.contains(at("2026-11-28T05:59"), zone=MOSCOW)  # Friday's shift
    assert not night.contains(at("2026-11-28T06:00"), zone=MOSCOW)
    assert not night.contains(at("2026-11-30T05:59"), zone=MOSCOW)  # there is no shift on Sunday
    assert night.contains(at("2026-11-30T22:00"), zone=MOSCOW)
    assert BusinessHours(time(0), time(0), on_weekends=True).contains(at("2026-11-29T00:00"), zone=MOSCOW)


def test_contains_excludes_both_repeated_hours_after_the_end():
    early = BusinessHours(time(0), time(2, 30), on_weekends=True)
    first, second = (datetime(2026, 10, 25, 0, 45, tzinfo=UTC) + HOUR * number for number in range(2))
    assert (first.astimezone(BERLIN).time(), second.astimezone(BERLIN).time()) == (time(2, 45), time(2, 45))
    assert not early.contains(first, zone=BERLIN)
    assert not early.contains(second, zone=BERLIN)  # the shift ended at the first 02:30
