"""Phone numbers: digits inside, E.164 with a plus outside.

There are two entrances: `from_vendor` for what UIS wrote, `from_person` for what somebody typed, there or here.
"""

import functools
import re
import unicodedata
from typing import Any, NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, NumberParseException, PhoneMetadata
from phonenumbers import parse as parse_number

from connector_project.core import typed_numbers

_CODES = {region: str(code) for code, regions in COUNTRY_CODE_TO_REGION_CODE.items() for region in regions}
REGIONS = tuple(sorted(_CODES.keys() - {"001"}))
INTERNAL_LENGTHS = range(1, 6)
LONGEST_INTERNAL = INTERNAL_LENGTHS[-1]
SHORTEST_EXTERNAL = 7
LONGEST = 15
SHORTEST_WITHOUT_PLUS = 10  # a shorter one could be a local number as well
_TRUNK_CODE_DIGITS = 4
_ABROAD = re.compile(r"00|810")
_SCHEME = re.compile(r"(?:[^<]*<)?\s*(?:sips?|tel):(?://)?", re.IGNORECASE)  # also after a name to display
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?", re.ASCII)
_MAIN = re.compile(r"[\s(]*\+?[\s(]*([0-9][0-9\s().-]*)")


class TypedNumber(NamedTuple):
    """A number that can be dialled, in digits, and the extension to dial as tones: `0-9*#`, a dot is a pause."""

    digits: str
    extension: str = ""


# A number comes several times with each call; few are remembered, and only in memory.
@functools.lru_cache(maxsize=500)
def from_vendor(raw: str | None, *, region: str) -> str:
    """Return the digits of a number that UIS wrote; "" if it is hidden or a name.

    They are in international form, and believed. Only what is a number of no country is read as one dialled in the
    tenant's own. Extensions and hosts are cut: after `...`, in a SIP URI, after anything that is no digit.
    """
    text = (raw or "").strip()
    if scheme := _SCHEME.match(text):
        text = text[scheme.end() :]
    text = text.split("@")[0].split("...")[0].strip()
    found = None if _ADDRESS.fullmatch(text) else _MAIN.match(text)
    digits = re.sub(r"[^0-9]", "", found[1]) if found else ""
    if not found or not digits.strip("0"):
        return ""
    if _is_of_a_country(digits):
        return digits
    if text[found.end() : found.end() + 1].isalpha():  # a name such as 12a
        return ""
    return _dialled_in(digits, region) or digits


def from_person(text: str | None, *, region: str) -> TypedNumber | None:
    """Return the number that a person typed; None if it is no number of a country that can be dialled.

    A number without a country code is read as dialled in `region` (ISO code; "" if unknown), then as international.
    """
    for main, extension in typed_numbers.candidates(text or ""):
        if digits := _dialled(main, region):
            is_second = _to_international(extension, region) != ""
            return TypedNumber(digits, "" if is_second else extension)
    return None


def _dialled(main: typed_numbers.Main, region: str) -> str:
    """Return the international form of a number without its extension."""
    international = _to_international(f"+{main.digits}", "")
    if main.has_plus:
        return international or _to_international(f"+{main.digits.removeprefix('00')}", "")
    found = _dialled_in(main.digits, region)
    if main.has_lost_plus:
        return international or found
    if len(main.digits) < SHORTEST_WITHOUT_PLUS:
        return found
    has_own_code = region != "" and main.digits.startswith(country_code(region))
    return (international or found) if has_own_code else (found or international)


def _dialled_in(digits: str, region: str) -> str:
    """Return the international form of digits dialled in a country, nationally or with a prefix for abroad."""
    abroad = _ABROAD.match(digits)
    international = _to_international(f"+{digits[abroad.end() :]}", "") if abroad else ""
    return international or _to_international(digits, region)


def extension_from_person(text: str) -> str:
    """Return the extension of a colleague that a person typed in place of a number; "" if it is none."""
    digits = text.strip()
    return digits if digits.isascii() and digits.isdecimal() and is_internal(digits) else ""


def beginning_from_person(text: str, *, region: str) -> str:
    """Return the digits that the numbers meant by a mask begin with, in international form.

    Only the beginning of a number is known, so no country code is added; it replaces a national prefix. An 8 is one
    from four digits on, as in 8800*: 86* is China.
    """
    digits = re.sub(r"[^0-9]", "", text)
    prefix = _national_prefix(region)
    if text.lstrip().startswith("+"):
        return digits
    if abroad := _ABROAD.match(digits):
        return digits[abroad.end() :]
    if prefix and digits.startswith(prefix) and (prefix == "0" or len(digits) >= _TRUNK_CODE_DIGITS):
        return country_code(region) + digits.removeprefix(prefix)
    return digits


@functools.lru_cache(maxsize=500)
def e164(number: str) -> str:
    """Return a number with a plus; short internal numbers stay as they are."""
    return f"+{number}" if is_external(number) else number


def is_external(number: str) -> bool:
    """Return whether this is a number of the public telephone network."""
    return SHORTEST_EXTERNAL <= len(number) <= LONGEST


def is_internal(number: str) -> bool:
    """Return whether this is an extension of the PBX."""
    return len(number) in INTERNAL_LENGTHS


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


def _international_forms(digits: str) -> tuple[str, ...]:
    if len(digits) == 10:
        return (digits, "7" + digits)
    if digits.startswith("8"):
        return (digits, "7" + digits[1:], digits[3:] if digits.startswith("810") else "")
    return (digits[2:],) if digits.startswith("00") else (digits,)


def _is_of_a_country(digits: str) -> bool:
    """Return whether digits in international form are a number of some country."""
    return any(_matches(digits[:length], digits[length:]) for length in (1, 2, 3))


def national_part(number: str) -> str:
    """Return a number without its country code; the number itself if it is of no country."""
    codes = (number[:length] for length in (1, 2, 3))
    return next((number[len(code) :] for code in codes if _matches(code, number[len(code) :])), number)


def _to_international(number: str, region: str) -> str:
    """Return the digits of a number in international form, dialled in this country (ISO code); "" if it is of none.

    With a plus the country does not matter, and a national prefix after the country code is dropped.
    """
    try:
        parsed = parse_number(number, region or None)
    except NumberParseException:
        return ""
    zeros = "0" * (parsed.number_of_leading_zeros or 1) if parsed.italian_leading_zero else ""
    digits = f"{parsed.country_code}{zeros}{parsed.national_number}"
    return digits if _is_of_a_country(digits) else ""


def country_code(region: str) -> str:
    """Return the calling code of a country, such as 7 for RU."""
    return _CODES.get(region, "")


def _national_prefix(region: str) -> str:
    """Return what is dialled before national numbers of a country, such as 8 in RU; "" if nothing is."""
    plan = PhoneMetadata.metadata_for_region(region, None)
    return str(plan.national_prefix or "") if plan else ""


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
