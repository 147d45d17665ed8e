"""Which rows of a vendor's list are gone: values in, values out."""

from datetime import UTC, datetime, timedelta

import pytest

from tenants.models import RemoteList
from tenants.remote_lists import Reading, is_short, update

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
KNOWN = [str(number) for number in range(9)]
MINUTES = timedelta(minutes=1)


def read(row, *missing, after=timedelta(0), is_complete=True, known=None):
    """Return what is gone after an answer without these rows."""
    known = KNOWN if known is None else known
    row.asked_at = NOW + after
    gone = update(row, known, Reading.of(set(known) - set(missing), is_complete=is_complete))
    return sorted(gone)


@pytest.mark.parametrize(
    ("known", "received", "expected"),
    [
        (0, 0, False),
        (0, 5, False),
        (1, 0, True),
        (2, 1, True),
        (3, 2, False),
        (9, 6, False),
        (9, 5, True),
        (9, 10, False),
    ],
)
def test_list_is_short_if_empty_or_shorter_by_more_than_a_third(known, received, expected):
    assert is_short(range(known), range(received)) is expected


@pytest.mark.parametrize(
    ("after", "gone"), [(MINUTES, []), (4 * MINUTES, []), (5 * MINUTES, ["1"]), (timedelta(days=9), ["1"])]
)
def test_row_is_gone_when_two_answers_some_minutes_apart_lack_it(after, gone):
    row = RemoteList()
    assert read(row, "1") == []
    assert read(row, "1", after=after) == gone


def test_row_that_was_seen_in_between_is_missing_for_the_first_time():
    row = RemoteList()
    read(row, "1")
    read(row, after=5 * MINUTES)
    assert read(row, "1", after=10 * MINUTES) == []
    assert read(row, "1", after=15 * MINUTES) == ["1"]
    assert (row.absent, row.read_again_at) == ({}, None)


@pytest.mark.parametrize("missing", [KNOWN, KNOWN[:4]])
@pytest.mark.parametrize("after", [6 * MINUTES, timedelta(hours=24), timedelta(days=60)])
def test_short_list_is_not_believed_however_long_it_lasts(missing, after):
    row = RemoteList()
    assert read(row, *missing) == []
    assert read(row, *missing, after=after) == []
    assert row.short_since == NOW


def test_sight_in_a_short_list_is_no_sight_for_a_list_of_the_usual_length():
    row = RemoteList()
    read(row, *KNOWN)
    assert read(row, "1", after=6 * MINUTES) == []
    assert row.short_since is None
    assert read(row, "1", after=11 * MINUTES) == ["1"]


def test_sight_in_a_list_of_the_usual_length_is_no_sight_for_a_short_list():
    row = RemoteList()
    read(row, "1")
    assert read(row, *KNOWN, after=6 * MINUTES) == []
    assert read(row, *KNOWN, after=timedelta(hours=24)) == []


def test_incomplete_list_proves_presence_only():
    row = RemoteList()
    read(row, "1", "2")
    assert read(row, "2", "3", after=5 * MINUTES, is_complete=False) == []
    assert (sorted(row.absent), row.incomplete_since) == (["2"], NOW + 5 * MINUTES)
    assert read(row, "1", "2", "3", after=10 * MINUTES) == ["2"]
    assert row.incomplete_since is None


def test_accepted_list_removes_what_was_missing_when_it_was_accepted():
    row = RemoteList()
    read(row, *KNOWN[:4])
    row.accepted_at = NOW + MINUTES
    assert read(row, *KNOWN[:5], after=2 * MINUTES) == KNOWN[:4]
    assert (sorted(row.absent), row.short_since) == ([KNOWN[4]], NOW)
    assert read(row, known=KNOWN[4:], after=3 * MINUTES) == []
    assert (row.short_since, row.accepted_at) == (None, None)


@pytest.mark.parametrize(
    ("after", "is_read_again"), [(timedelta(0), True), (59 * MINUTES, True), (timedelta(hours=1), False)]
)
@pytest.mark.parametrize(("missing", "is_complete"), [(KNOWN, True), (["1"], False)])
def test_doubtful_list_is_read_again_for_an_hour(after, is_read_again, missing, is_complete):
    row = RemoteList()
    read(row, *missing, is_complete=is_complete)
    read(row, *missing, after=after, is_complete=is_complete)
    assert row.read_again_at == (NOW + after + 5 * MINUTES if is_read_again else None)


def test_longer_list_of_other_rows_is_not_short():
    row = RemoteList(asked_at=NOW)
    assert update(row, KNOWN, Reading.of(range(100, 120), is_complete=True)) == set()
    assert row.short_since is None
    row.asked_at = NOW + 5 * MINUTES
    assert update(row, KNOWN, Reading.of(range(100, 120), is_complete=True)) == set(KNOWN)
