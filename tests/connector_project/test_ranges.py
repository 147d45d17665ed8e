"""Parts of a file, as HTTP names them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_project import ranges
from connector_project.ranges import Asked, Slice


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("bytes=0-", Asked(0, None)),
        ("bytes=0-0", Asked(0, 0)),
        ("bytes=100-199", Asked(100, 199)),
        ("bytes=-500", Asked(None, 500)),
        (" bytes=5- ", Asked(5, None)),
        ("", None),
        ("bytes=-", None),
        ("bytes=9-1", None),
        ("bytes=0-1,5-9", None),
        ("Bytes=0-1", None),
        ("seconds=0-1", None),
        ("bytes=a-b", None),
        ("bytes=+1-2", None),
        ("bytes=1-2\r\nX: y", None),
        (f"bytes={'9' * 30}-", None),
    ],
)
def test_header_of_a_request_is_read(header, asked):
    assert ranges.read(header) == asked


@pytest.mark.parametrize(
    ("asked", "size", "part"),
    [
        (Asked(0, None), 10, Slice(0, 9, 10)),
        (Asked(3, 5), 10, Slice(3, 5, 10)),
        (Asked(3, 50), 10, Slice(3, 9, 10)),
        (Asked(9, None), 10, Slice(9, 9, 10)),
        (Asked(10, None), 10, None),
        (Asked(10, 20), 10, None),
        (Asked(None, 4), 10, Slice(6, 9, 10)),
        (Asked(None, 40), 10, Slice(0, 9, 10)),
        (Asked(None, 0), 10, None),
        (Asked(0, None), 0, None),
    ],
)
def test_part_of_a_file_is_found(asked, size, part):
    assert asked.of(size) == part


@pytest.mark.parametrize(
    ("asked", "header"),
    [
        (Asked(0, None), "bytes=0-99"),
        (Asked(50, None), "bytes=50-149"),
        (Asked(50, 60), "bytes=50-60"),
        (Asked(50, 6000), "bytes=50-149"),
        (Asked(None, 500), "bytes=-500"),
    ],
)
def test_no_more_is_asked_for_than_is_wanted_at_once(asked, header):
    assert asked.header(100) == header


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes 0-9/10", Slice(0, 9, 10)),
        ("bytes 3-5/10", Slice(3, 5, 10)),
        ("bytes 5-3/10", None),
        ("bytes 0-10/10", None),
        ("bytes 0-9/*", None),
        ("bytes */10", None),
        ("0-9/10", None),
        ("", None),
    ],
)
def test_header_of_a_reply_is_read(header, part):
    assert ranges.told(header) == part


@pytest.mark.parametrize(
    ("header", "size"), [("bytes */10", 10), ("bytes 0-9/10", None), ("bytes */*", None), ("", None)]
)
def test_size_is_told_where_nothing_is_there(header, size):
    assert ranges.size_outside(header) == size


@given(
    first=st.integers(0, 50),
    last=st.one_of(st.none(), st.integers(0, 60)),
    size=st.integers(0, 50),
    most=st.integers(1, 9),
)
def test_what_is_asked_for_lies_in_what_was_wanted(first, last, size, most):
    asked = ranges.read(f"bytes={first}-{'' if last is None else last}")
    part = asked.of(size) if asked else None
    if part is None:
        return
    assert 0 <= part.first <= part.last < size
    narrowed = part.narrowed(most)
    assert 1 <= narrowed.length <= most
    assert narrowed.first == part.first
    assert ranges.told(str(narrowed)) == narrowed
    # Cut by the other side or by us, it is the same part.
    assert ranges.read(asked.header(most)).of(size) == narrowed
