"""Local days, in zones with and without DST."""

# ruff: noqa: DTZ001 -- hypothesis wants bounds without a zone

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_project.core import local_dates

ZONES = st.sampled_from(
    [
        *["Europe/Moscow", "Europe/Berlin", "America/New_York", "America/Havana", "America/Santiago", "Asia/Beirut"],
        *["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kolkata", "Australia/Lord_Howe"],
    ]
).map(ZoneInfo)
MOMENTS = st.datetimes(
    min_value=datetime(2015, 1, 1),
    max_value=datetime(2035, 1, 1),
    timezones=st.just(UTC),
)


@given(MOMENTS, ZONES)
def test_every_moment_is_in_exactly_one_day(moment, zone):
    day = local_dates.day_of(moment, zone=zone)
    begin, end = (local_dates.begin(one, zone=zone).astimezone(UTC) for one in (day, day + local_dates.DAY))
    assert begin <= moment < end
    assert local_dates.day_of(begin, zone=zone) == day
    assert local_dates.day_of(begin - timedelta(seconds=1), zone=zone) < day


@given(MOMENTS, st.integers(min_value=0, max_value=60 * 24 * 40), ZONES)
def test_whole_returns_the_days_completely_inside_the_period(since, minutes, zone):
    till = since + timedelta(minutes=minutes)
    first, last = local_dates.day_of(since, zone=zone), local_dates.day_of(till, zone=zone)
    expected = [
        day
        for day in local_dates.between(first, last + local_dates.DAY)
        if local_dates.begin(day, zone=zone) >= since and local_dates.begin(day + local_dates.DAY, zone=zone) <= till
    ]
    assert local_dates.whole(since, till, zone=zone) == expected


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 12, 31), 24)]
)
def test_days_of_dst_changes_are_shorter_or_longer(day, hours):
    berlin = ZoneInfo("Europe/Berlin")
    lasts = local_dates.begin(day + local_dates.DAY, zone=berlin).astimezone(UTC) - local_dates.begin(
        day, zone=berlin
    ).astimezone(UTC)
    assert lasts == timedelta(hours=hours)
