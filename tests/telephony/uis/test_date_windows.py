"""Windows of at most three months."""

# ruff: noqa: DTZ001, DTZ007 -- UIS sends no time zone

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.uis import date_windows
from tests.fakes.uis_data import _three_months_after

MOMENTS = st.datetimes(min_value=datetime(2015, 1, 1), max_value=datetime(2040, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


ZONE = ZoneInfo("Europe/Moscow")


def split(begin, end):
    parts = date_windows.split(begin.replace(tzinfo=ZONE), end.replace(tzinfo=ZONE), zone=ZONE)
    return [tuple(datetime.strptime(text, date_windows.FORM) for text in part) for part in parts]


@given(MOMENTS, st.integers(min_value=0, max_value=86_400 * 900))
def test_windows_cover_the_period_and_uis_accepts_each(begin, seconds):
    end = begin + timedelta(seconds=seconds)
    windows = split(begin, end)
    assert (windows[0][0], windows[-1][1]) == (begin, end)
    assert [last for _first, last in windows[:-1]] == [first for first, _last in windows[1:]]
    assert all(last <= _three_months_after(first) for first, last in windows)


@pytest.mark.parametrize(("days", "count"), [(1, 1), (89, 1), (90, 2), (365, 5)])
def test_period_is_split_into_the_fewest_windows(days, count):
    end = datetime(2026, 3, 1)
    assert len(split(end - timedelta(days=days), end)) == count
