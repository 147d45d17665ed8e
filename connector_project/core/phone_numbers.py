"""Normalises, formats and masks phone numbers: digits inside, E.164 with a plus outside."""

import re

LONGEST_INTERNAL = 5
SHORTEST_EXTERNAL = 7
LONGEST = 15


def normalise(raw: str | None, *, is_russian: bool) -> str:
    """Return the digits of a number in international form, or "" if there is no number.

    Text after three dots (a UIS extension) is cut. Only with `is_russian`, a leading 8 or a missing country code means
    +7; a number that begins with a plus is taken as it is.
    """
    number = (raw or "").strip().split("...")[0]
    is_international = number.startswith("+")
    bare = re.sub(r"[^0-9]", "", number)
    if is_russian and not is_international:
        if len(bare) == 11 and bare.startswith("8"):
            return "7" + bare[1:]
        if len(bare) == 10:
            return "7" + bare
    return bare


def e164(number: str) -> str:
    """Return a number with a plus; short internal numbers stay as they are."""
    return f"+{number}" if is_external(number) else number


def is_external(number: str) -> bool:
    """Return whether this is a number of the public telephone network."""
    return SHORTEST_EXTERNAL <= len(number) <= LONGEST


def is_internal(number: str) -> bool:
    """Return whether this is an extension of the PBX."""
    return 0 < len(number) <= LONGEST_INTERNAL


def mask(number: str) -> str:
    """Return a number with its middle masked, for logs."""
    return number if len(number) <= LONGEST_INTERNAL else f"{number[:-7]}***{number[-4:]}"
