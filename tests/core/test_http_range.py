"""HTTP Range and Content-Range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_project.core import http_range
from connector_project.core.http_range import ContentRange, RequestedRange


@pytest.mark.parametrize(
    ("header", "requested"),
    [
        ("bytes=0-", RequestedRange(0, None)),
        ("bytes=0-0", RequestedRange(0, 0)),
        ("bytes=100-199", RequestedRange(100, 199)),
        ("bytes=-500", RequestedRange(None, 500)),
        (" bytes=5- ", RequestedRange(5, None)),
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
def test_parse_range(header, requested):
    assert http_range.parse_range(header) == requested


@pytest.mark.parametrize(
    ("requested", "size", "part"),
    [
        (RequestedRange(0, None), 10, ContentRange(0, 9, 10)),
        (RequestedRange(3, 5), 10, ContentRange(3, 5, 10)),
        (RequestedRange(3, 50), 10, ContentRange(3, 9, 10)),
        (RequestedRange(9, None), 10, ContentRange(9, 9, 10)),
        (RequestedRange(10, None), 10, None),
        (RequestedRange(10, 20), 10, None),
        (RequestedRange(None, 4), 10, ContentRange(6, 9, 10)),
        (RequestedRange(None, 40), 10, ContentRange(0, 9, 10)),
        (RequestedRange(None, 0), 10, None),
        (RequestedRange(0, None), 0, None),
    ],
)
def test_resolve_returns_the_range_in_the_file(requested, size, part):
    assert requested.resolve(size) == part


@pytest.mark.parametrize(
    ("requested", "header"),
    [
        (RequestedRange(0, None), "bytes=0-99"),
        (RequestedRange(50, None), "bytes=50-149"),
        (RequestedRange(50, 60), "bytes=50-60"),
        (RequestedRange(50, 6000), "bytes=50-149"),
        (RequestedRange(None, 500), "bytes=-500"),
    ],
)
def test_header_is_truncated_to_the_maximum(requested, header):
    assert requested.header(100) == header


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes 0-9/10", ContentRange(0, 9, 10)),
        ("bytes 3-5/10", ContentRange(3, 5, 10)),
        ("bytes 5-3/10", None),
        ("bytes 0-10/10", None),
        ("bytes 0-9/*", None),
        ("bytes */10", None),
        ("0-9/10", None),
        ("", None),
    ],
)
def test_parse_content_range(header, part):
    assert http_range.parse_content_range(header) == part


@pytest.mark.parametrize(
    ("header", "size"), [("bytes */10", 10), ("bytes 0-9/10", None), ("bytes */*", None), ("", None)]
)
def test_size_outside_is_read_from_unsatisfied_ranges_only(header, size):
    assert http_range.size_outside(header) == size


@given(
    first=st.integers(0, 50),
    last=st.one_of(st.none(), st.integers(0, 60)),
    size=st.integers(0, 50),
    limit=st.integers(1, 9),
)
def test_truncated_range_is_within_the_resolved_range(first, last, size, limit):
    requested = http_range.parse_range(f"bytes={first}-{'' if last is None else last}")
    part = requested.resolve(size) if requested else None
    if part is None:
        return
    assert 0 <= part.first <= part.last < size
    truncated = part.truncated(limit)
    assert 1 <= truncated.length <= limit
    assert truncated.first == part.first
    assert http_range.parse_content_range(str(truncated)) == truncated
    # The vendor, asked for the truncated range, would send the same part.
    assert http_range.parse_range(requested.header(limit)).resolve(size) == truncated
