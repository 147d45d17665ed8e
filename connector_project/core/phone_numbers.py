"""Normalises, formats, validates and masks phone numbers: digits inside, E.164 with a plus outside."""

import functools
import re
import unicodedata
from typing import Any

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

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


def ascii_digits(text: str) -> str:
    """Return the digits of any script in a text as ASCII digits."""
    found = (unicodedata.decimal(character, None) for character in text)
    return "".join(str(digit) for digit in found if digit is not None)


def is_valid(digits: str) -> bool:
    """Return whether these digits are a number of some country, in international form or as written in Russia.

    That is with 8 or nothing for +7, or with an international prefix (00, 8 10).
    """
    return any(_is_of_a_country(form) for form in _international_forms(digits))


def national_part(number: str) -> str:
    """Return a number without its country code; the number itself if it is of no country."""
    codes = (number[:length] for length in (1, 2, 3))
    return next((number[len(code) :] for code in codes if _matches(code, number[len(code) :])), number)


def _international_forms(digits: str) -> tuple[str, ...]:
    if len(digits) == 10:
        return (digits, "7" + digits)
    if digits.startswith("8"):
        return (digits, "7" + digits[1:], digits[3:] if digits.startswith("810") else "")
    return (digits[2:],) if digits.startswith("00") else (digits,)


def _is_of_a_country(digits: str) -> bool:
    return any(_matches(digits[:length], digits[length:]) for length in (1, 2, 3))


def _matches(code: str, national: str) -> bool:
    plan = _numbering_plan(code) if national and code[0] != "0" else None
    return plan is not None and len(national) in plan[0] and plan[1].fullmatch(national) is not None


@functools.cache
def _numbering_plan(code: str) -> tuple[frozenset[int], re.Pattern[str]] | None:
    """Return the lengths and the pattern of the national numbers of a country code; None: there is no such code."""
    lengths, patterns = set[int](), set[str]()
    for region in COUNTRY_CODE_TO_REGION_CODE.get(int(code), ()):
        plan: Any = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
        kinds = [kind for name in _KINDS if (kind := getattr(plan, name)) and kind.national_number_pattern]
        patterns |= {kind.national_number_pattern for kind in kinds}
        lengths |= {*plan.general_desc.possible_length}
    return (frozenset(lengths), re.compile("|".join(sorted(patterns)))) if patterns else None


_KINDS = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost"),
    *("personal_number", "voip", "pager", "uan", "voicemail"),
)
