"""Windows of at most three months."""

# ruff: noqa: DTZ001, DTZ007 -- UIS writes no zone

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.uis import date_windows
from tests.fakes.uis_data import _three_months_after

MOMENTS = st.datetimes(min_value=datetime(2015, 1, 1), max_value=datetime(2040, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


def written(moment):
    return moment.strftime(date_windows.FORM)


def read(text):
    return datetime.strptime(text, date_windows.FORM)


@given(MOMENTS, st.integers(min_value=0, max_value=86_400 * 900))
def test_parts_are_the_whole_and_uis_takes_each(begin, seconds):
    end = begin + timedelta(seconds=seconds)
    parts = [(read(first), read(last)) for first, last in date_windows.split(written(begin), written(end))]
    assert (parts[0][0], parts[-1][1]) == (begin, end)
    assert [last for _first, last in parts[:-1]] == [first for first, _last in parts[1:]]
    assert all(last <= _three_months_after(first) for first, last in parts)


@pytest.mark.parametrize(("days", "count"), [(1, 1), (89, 1), (90, 2), (365, 5)])
def test_no_more_parts_than_it_takes(days, count):
    end = datetime(2026, 3, 1)
    assert len(list(date_windows.split(written(end - timedelta(days=days)), written(end)))) == count
