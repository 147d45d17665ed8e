"""Business hours: in the client's time zone, past midnight, over a weekend, at changes of summer time."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from connector_project.core.business_hours import BusinessHours

MOSCOW, BERLIN = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)


def at(text, zone=MOSCOW):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


WORK = BusinessHours(time(9), time(18), on_weekends=False)


def worked(work, since, till, zone=MOSCOW):
    return work.longest_overlap(at(since, zone), at(till, zone), zone=zone)


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
    night = BusinessHours(time(22), time(6), on_weekends=False)
    assert worked(night, "2026-11-28T04:00", "2026-11-28T05:00") == HOUR  # of Friday's
    assert worked(night, "2026-11-30T04:00", "2026-11-30T05:00") == timedelta(0)  # Sunday's is none
    assert worked(BusinessHours(time(22), time(6), on_weekends=True), "2026-11-30T04:00", "2026-11-30T05:00") == HOUR


def test_round_the_clock_knows_no_morning():
    always = BusinessHours(time(0), time(0), on_weekends=False)
    assert worked(always, "2026-11-23T23:00", "2026-11-24T00:20") == HOUR
    assert worked(always, "2026-11-22T23:00", "2026-11-23T00:20") == timedelta(minutes=20)


def test_shift_is_told_by_the_clients_clock_and_in_real_time():
    ten_in_moscow = at("2026-11-23T10:00")
    assert WORK.longest_overlap(ten_in_moscow - HOUR, ten_in_moscow, zone=MOSCOW) == HOUR
    assert WORK.longest_overlap(ten_in_moscow - HOUR, ten_in_moscow, zone=BERLIN) == timedelta(0)
    # The night in which Berlin's clocks go back has an hour more.
    night = BusinessHours(time(0), time(6), on_weekends=True)
    assert worked(night, "2026-10-25T00:00", "2026-10-25T06:00", BERLIN) == 7 * HOUR


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
def test_moment_is_within_a_shift_or_not(moment, is_at_work):
    assert WORK.contains(at(moment), zone=MOSCOW) == is_at_work
    assert WORK.contains(at(moment).astimezone(UTC), zone=MOSCOW) == is_at_work


def test_moment_after_midnight_belongs_to_the_shift_of_the_day_before():
    night = BusinessHours(time(22), time(6), on_weekends=False)
    assert night.contains(at("2026-11-28T05:59"), zone=MOSCOW)  # of Friday's
    assert not night.contains(at("2026-11-28T06:00"), zone=MOSCOW)
    assert not night.contains(at("2026-11-30T05:59"), zone=MOSCOW)  # Sunday's is none
    assert night.contains(at("2026-11-30T22:00"), zone=MOSCOW)
    assert BusinessHours(time(0), time(0), on_weekends=True).contains(at("2026-11-29T00:00"), zone=MOSCOW)


def test_moment_in_a_repeated_hour_is_told_by_both_its_times():
    early = BusinessHours(time(0), time(2, 30), on_weekends=True)
    first, second = (datetime(2026, 10, 25, 0, 45, tzinfo=UTC) + HOUR * number for number in range(2))
    assert (first.astimezone(BERLIN).time(), second.astimezone(BERLIN).time()) == (time(2, 45), time(2, 45))
    assert not early.contains(first, zone=BERLIN)
    assert not early.contains(second, zone=BERLIN)  # its end was at the first half past two
