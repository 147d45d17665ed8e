"""One phone number in every form it is written in: finds it in texts, to erase or to mask it."""

import functools
import re
import sys
import unicodedata

from connector_project.core import phone_numbers
from connector_project.core.encoded_digits import ENCODED_SQL, base64_parts, plain_digits
from connector_project.core.phone_texts import GAP, SHORTEST_WITHOUT_PLUS

# Between the digits of a known number also what is elsewhere a path, a list or the next line.
_ANY_GAP = rf"(?:{GAP}|[/_\[\]]){{0,4}}"
_WIDE_GAP = rf"(?:{GAP}|[/_\[\]\n\r\u00b7\u2022]){{0,4}}"
_PLUS_FORMS = rf"(?:\+|%(?:25)*2[Bb]|\\{{1,4}}u002[Bb]|&\#43;){_ANY_GAP}"
_BASE64 = "[0-9A-Za-z+/_-]"


def contains(text: str, number: str) -> bool:
    """Return whether a text has this number (digits, normalised) in any form."""
    return bool(text) and replace_number(text, number, "") != text


def is_number(text: str, number: str) -> bool:
    """Return whether a text is this number and nothing else."""
    return _spellings(number).fullmatch(plain_digits(text.strip())) is not None


def replace_number(text: str, number: str, replacement: str) -> str:
    """Return a text without this number in any form; if it has none, the text as it is.

    It is found with and without the country code, as people write it, and not as a part of longer numbers. What is
    encoded in base64 is replaced as a whole.
    """
    if not text:
        return text
    pattern, encoded = _spellings(number), _in_base64(number)
    text = pattern.sub(replacement, text)
    plain = plain_digits(text)
    if pattern.search(plain):
        text = pattern.sub(replacement, plain)
    return encoded.sub(replacement, text) if encoded.search(text) else text


def mask_number(text: str, number: str) -> str:
    """Return a text with this number (digits, normalised) masked in every form: it may be too short for `mask`."""
    return text if phone_numbers.mask(number) == number else replace_number(text, number, f"***{number[-4:]}")


def may_contain_sql(number: str) -> tuple[str, str]:
    """Return what a text that has this number is like: a pattern of LIKE, or a regular expression; either is enough."""
    national = phone_numbers.national_part(number)
    return f"%{'%'.join(national)}%", "|".join((f"[{_other_digits()}]", ENCODED_SQL, *_base64_parts(number)))


@functools.lru_cache(maxsize=256)
def _spellings(number: str) -> re.Pattern[str]:
    national = phone_numbers.national_part(number)
    country = number[: len(number) - len(national)]
    codes = [country, "8"] if country == "7" else [country]
    prefix = "|".join(_escaped(code, _ANY_GAP) for code in codes if code)
    abroad = rf"(?:0{_ANY_GAP}0|8{_ANY_GAP}1{_ANY_GAP}0){_ANY_GAP}"
    head = rf"(?:(?:{_PLUS_FORMS}|{abroad})?(?:{prefix}){_ANY_GAP})"
    trunk = "" if country == "7" else f"(?:0{_ANY_GAP})?"
    is_optional = "?" if len(national) >= SHORTEST_WITHOUT_PLUS - 1 else ""
    start = head + is_optional + trunk if prefix else f"(?:{_PLUS_FORMS})?"
    before = r"(?:(?<!\d)|(?<=%\d\d)|(?<=\\u[0-9A-Fa-f]{4}))"
    return re.compile(rf"{before}{start}[(\[]?{_escaped(national, _WIDE_GAP)}(?!\d)")


@functools.lru_cache(maxsize=256)
def _in_base64(number: str) -> re.Pattern[str]:
    escaped = "|".join(map(re.escape, _base64_parts(number))) or "(?!)"
    return re.compile(rf"(?<!{_BASE64}){_BASE64}*?(?:{escaped}){_BASE64}*={{0,2}}")


def _base64_parts(number: str) -> tuple[str, ...]:
    """Return them for numbers that are long enough not to be in other texts by chance."""
    national = phone_numbers.national_part(number)
    return base64_parts(national) if len(national) >= SHORTEST_WITHOUT_PLUS - 1 else ()


def _escaped(digits: str, gap: str) -> str:
    """Return the pattern of digits of any script, with gaps between them."""
    classes = _digit_classes()
    return gap.join(classes[int(one)] if one.isascii() and one.isdecimal() else re.escape(one) for one in digits)


@functools.cache
def _other_digits() -> str:
    """Return the digits of other scripts. A search of all characters: few processes ever need it."""
    codes = range(0x80, sys.maxunicode + 1)
    return "".join(chr(code) for code in codes if unicodedata.decimal(chr(code), None) is not None)


@functools.cache
def _digit_classes() -> tuple[str, ...]:
    """Return, for each value, the class of the digits of all scripts that have it."""
    others = {value: [one for one in _other_digits() if unicodedata.decimal(one) == value] for value in range(10)}
    return tuple(f"[{value}{''.join(others[value])}]" for value in range(10))
