"""Reads the values of macros as people and UIS write them; what cannot be read is unknown, never zero. Never raises."""

import math
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from pydantic import ValidationInfo

from telephony.uis.fields import Locale

# Column lengths of our tables, and the years that a real timestamp can have.
LONGEST_TEXT = 100
_LONGEST_LINK = 2000
_LARGEST_ID = 2**63 - 1
_LARGEST_SECONDS = 2**31 - 1
_MOST_IDS = 500
_YEARS = range(2000, 2100)
_YES_OR_NO = {"true": True, "yes": True, "да": True, "1": True, "false": False, "no": False, "нет": False, "0": False}
_WHOLE = re.compile(r"(\d{1,19})(\.0+)?", re.ASCII)
# Seconds, minutes and seconds, or hours, minutes and seconds; each with a fraction of a second.
_DURATION = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):(?=\d\d\b))?(\d{1,10}(?:[.,]\d{1,9})?)", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[\sT]+(\d\d:\d\d(?::\d\d(?:[.,]\d{1,12})?)?)"
    r"(?:\s*(Z|UTC|GMT)|\s*([+-]\d\d(?::?\d\d)?)|\s(\d\d:?\d\d))?",
    re.ASCII,
)


def whole(raw: object) -> int | None:
    """Read an integer that may be sent bare or quoted; None if it is not one."""
    found = None if isinstance(raw, bool) else _WHOLE.fullmatch(str(raw).strip())
    return int(found[1]) if found and int(found[1]) <= _LARGEST_ID else None


def yes_or_no(raw: object) -> bool | None:
    """Read a boolean in any of its spellings."""
    return _YES_OR_NO.get(re.sub(r"\.0+$", "", str(raw).strip().lower()))


def seconds(raw: object) -> int | None:
    """Read a duration: seconds, or hours, minutes and seconds. Less than a second of it is a second, not nothing."""
    found = None if isinstance(raw, bool) else _DURATION.fullmatch(str(raw).strip())
    if found is None:
        return None
    hours, minutes, rest = int(found[1] or 0), int(found[2] or 0), float(found[3].replace(",", "."))
    if (found[1] and minutes >= 60) or (found[2] and rest >= 60):
        return None
    total = hours * 3600 + minutes * 60 + rest
    whole_seconds = math.ceil(total) if total < 1 else round(total)
    return whole_seconds if whole_seconds <= _LARGEST_SECONDS else None


def link(raw: object) -> str:
    """Return a text without what PostgreSQL rejects: NUL, and lone surrogates from JSON escapes."""
    text = str(raw) if isinstance(raw, str | int) and not isinstance(raw, bool) else ""
    return text.replace("\0", "").encode(errors="replace").decode()[:_LONGEST_LINK]


def text(raw: object) -> str:
    return link(raw)[:LONGEST_TEXT]


def ids(raw: object) -> tuple[int, ...] | None:
    """Read a list of ids that may be sent as an array or as text; None if it is neither, () if it names nobody."""
    if not isinstance(raw, list | str | int) or isinstance(raw, bool):
        return None
    items = raw if isinstance(raw, list) else str(raw).strip("[] ").split(",")
    found = tuple(number for item in items[:_MOST_IDS] if (number := whole(item)) is not None)
    return found if found or not any(str(item).strip() for item in items) else None


def time(raw: object, *, zone: ZoneInfo) -> datetime | None:
    """Read a time: its offset or Z counts; without one it is the account's local time.

    In a query the plus of an offset arrives as a blank.
    """
    found = _TIME.fullmatch(str(raw).strip().upper())
    if found is None:
        return None
    day, clock, is_utc, offset, plus_offset = found.groups()
    suffix = "Z" if is_utc else offset or (f"+{plus_offset}" if plus_offset else "")
    try:
        moment = datetime.fromisoformat(f"{day}T{clock.replace(',', '.')}{suffix}")
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year in _YEARS else None


def local_time(raw: object, info: ValidationInfo[Locale]) -> datetime | None:
    return time(raw, zone=info.context.zone)


def unix_time(raw: object) -> datetime | None:
    """Read a Unix time in seconds."""
    number = whole(raw)
    if number is None or number > _LARGEST_SECONDS:
        return None
    moment = datetime.fromtimestamp(number, tz=UTC)
    return moment if moment.year in _YEARS else None
