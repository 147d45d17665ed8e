"""Values of macros as they are written: what can be read is read, anything else is unknown and never zero."""

import random
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from telephony.uis import macro_values

MOSCOW = ZoneInfo("Europe/Moscow")
SEEDS = range(200)


def draw_time(source):
    """Return a moment and one of its written forms."""
    moment = datetime(2000, 1, 2, tzinfo=UTC) + timedelta(seconds=source.randrange(99 * 365 * 86400))
    fraction = source.choice(["", "", ".5", ".234", ".234567", ",25"])
    offset = source.choice([None, timedelta(0), *(timedelta(minutes=source.randrange(-14 * 60, 14 * 60, 15)),) * 2])
    local = moment.astimezone(MOSCOW if offset is None else timezone(offset))
    signed = "" if offset is None else f"{local:%z}"
    if offset is not None:
        spellings = [signed, f"{signed[:3]}:{signed[3:]}", f" {signed[:3]}:{signed[3:]}"]
        spellings += [signed[:3]] if signed.endswith("00") else []
        spellings += ["Z", "z", " UTC"] if not offset else []
        spellings += [signed.replace("+", " ")] if signed.startswith("+") else []  # as in a query
        signed = source.choice(spellings)
    separator = source.choice([" ", "T", "t", "  "])
    whole = moment + timedelta(seconds=float(f"0{fraction.replace(',', '.')}" if fraction else 0))
    blank = source.choice(["", " "])
    return whole, f"{blank}{local:%Y-%m-%d}{separator}{local:%H:%M:%S}{fraction}{signed}{blank}"


@pytest.mark.parametrize("seed", SEEDS)
def test_time_is_read_in_every_form(seed):
    moment, written = draw_time(random.Random(seed))
    assert macro_values.time(written, zone=MOSCOW) == moment, written


@pytest.mark.parametrize(
    "raw",
    [
        *[
            "",
            "yesterday",
            "2026-11-28",
            "04:47:53",
            "2026-11-28T24:61:00Z",
            "2026-02-30 04:47:53",
            "28.11.2026 04:47:53",
        ],
        *["2026-11-28T04:47:53+25:00", "2026-11-28T04:47:53 MSK", "1999-12-31 23:59:59", "9999-12-31T23:59:59-14:00"],
        *[
            "0001-01-01T00:00:00+14:00",
            "2026-11-28T04:47:53ZZ",
            None,
            True,
            [],
            {},
            1764305273,
            "1764305273",
            "٢٠٢٦-11-28 04:47:53",
        ],
    ],
)
def test_time_that_cannot_be_read_is_unknown(raw):
    assert macro_values.time(raw, zone=MOSCOW) is None


def draw_duration(source):
    """Return seconds and one of their written forms."""
    total = source.choice([0, 1, 59, 60, 61, 65, 3599, 3600, 3661, source.randrange(100_000)])
    minutes, rest = divmod(total, 60)
    forms = [total, str(total), f" {total} ", f"{total}.0", f"{total}.4", f"{total},0", float(total)]
    forms += [f"{minutes}:{rest:02}", f"{minutes:02}:{rest:02}"]
    forms += [f"{minutes // 60}:{minutes % 60:02}:{rest:02}", f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}.2"]
    written = source.choice(forms)
    return (1 if not total and str(written) != "0" and str(written).strip(" 0:.,") else total), written


@pytest.mark.parametrize("seed", SEEDS)
def test_duration_is_read_in_every_form(seed):
    total, written = draw_duration(random.Random(seed))
    assert macro_values.seconds(written) == total, written


@pytest.mark.parametrize(
    "raw",
    [
        *[
            "",
            "null",
            "none",
            "abc",
            "-1",
            -5,
            "1:5",
            "0:75",
            "1:75:00",
            "1:2:3:4",
            "65 s",
            "1m5s",
            "1e3",
            "inf",
            "nan",
        ],
        *["٦٥", "6 5", ":", "00:", ":05", "65.", ".5", 2**31, 10**18, 1e300, None, True, False, [], [65], {"a": 1}],
    ],
)
def test_duration_that_cannot_be_read_is_unknown(raw):
    assert macro_values.seconds(raw) is None


@pytest.mark.parametrize(
    ("spellings", "expected"),
    [
        ([True, 1, 1.0, "1", "true", " TRUE ", "True", "yes", "Yes", "да", "1.0"], True),
        ([False, 0, 0.0, "0", "false", " FALSE ", "no", "No", "нет", "0.0"], False),
        ([None, "", "null", "maybe", 2, "2", -1, "01", [], {}, "true false", "t"], None),
    ],
)
def test_boolean_is_read_in_every_spelling(spellings, expected):
    assert [macro_values.yes_or_no(raw) for raw in spellings] == [expected] * len(spellings)


@pytest.mark.parametrize("raw", [0, -1, "0", 946_684_799, 2**31, 1729840306234, "1729840306.5", "x", None, True, []])
def test_unix_time_that_is_none_is_unknown(raw):
    assert macro_values.unix_time(raw) is None
