"""The contacts in a client's rules: phone numbers, and masks such as 7495123* for all numbers that begin so."""

import re

from connector_project.core import phone_numbers

MASK = "*"
ERASED = "erased:"  # before the token of a number that was erased (tenants.erased_numbers)
_ENTRY = re.compile(r"\+?[0-9 ().–\u00a0-]*[0-9][0-9 ().–\u00a0-]*\*?")
_TOKEN = re.compile(rf"{ERASED}[0-9a-f]+")
_SEPARATORS = re.compile(r"[\r\n,;]+")
_TRUNK_CODE_DIGITS = 4  # from here a leading 8 is Russia's trunk prefix, as in 8800*; 86* is China


def split(text: str) -> list[str]:
    """Return the entries as they were typed: one in a line, or separated by commas."""
    return [entry.strip() for entry in _SEPARATORS.split(text) if entry.strip()]


def invalid(text: str, *, is_russian: bool) -> list[str]:
    """Return the entries that are neither a phone number nor a mask."""
    return [entry for entry in split(text) if not _is_valid(entry, is_russian=is_russian)]


def normalise(entry: str, *, is_russian: bool) -> str:
    """Return an entry as calls are compared with it; "" if it has no digits.

    An entry stored before entries were validated may have other text around its number.
    """
    if entry.startswith(ERASED):
        return entry
    number = phone_numbers.normalise(entry, is_russian=is_russian)
    if not number or not entry.rstrip().endswith(MASK):
        return number
    digits = re.sub(r"[^0-9]", "", entry)  # Of a mask only the beginning is known: no country code is added.
    has_trunk_prefix = is_russian and len(digits) >= _TRUNK_CODE_DIGITS and digits.startswith("8")
    if has_trunk_prefix and not entry.lstrip().startswith("+"):
        digits = f"7{digits[1:]}"
    return digits + MASK


def members(text: str, *, is_russian: bool) -> frozenset[object]:
    """Return the numbers and masks of a list, normalised."""
    return frozenset(filter(None, (normalise(entry, is_russian=is_russian) for entry in split(text))))


def keys(contact: str) -> list[str]:
    """Return what a list may contain for this contact: the number itself, and each mask that it matches."""
    return [contact, *(contact[:length] + MASK for length in range(1, len(contact) + 1))]


def _is_valid(entry: str, *, is_russian: bool) -> bool:
    if not _ENTRY.fullmatch(entry):
        return bool(_TOKEN.fullmatch(entry))
    number = normalise(entry, is_russian=is_russian)
    if number.endswith(MASK):
        return len(number) <= phone_numbers.LONGEST
    return phone_numbers.is_external(number) or phone_numbers.is_internal(number)
