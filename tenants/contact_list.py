"""The contacts in a client's rules: phone numbers, and masks such as 7495123* for all numbers that begin so."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Self

from connector_project.core import phone_numbers

MASK = "*"
ERASED = "erased:"  # before the token of a number that was erased (tenants.erased_numbers)
_ENTRY = re.compile(r"\+?[0-9 ().–\u00a0-]*[0-9][0-9 ().–\u00a0-]*\*?")
_TOKEN = re.compile(rf"{ERASED}[0-9a-f]+")
_SEPARATORS = re.compile(r"[\r\n,;]+")


def split(text: str) -> list[str]:
    """Return the entries as they were typed: one in a line, or separated by commas."""
    return [entry.strip() for entry in _SEPARATORS.split(text) if entry.strip()]


def invalid(text: str, *, region: str) -> list[str]:
    """Return the entries that are neither a phone number nor a mask."""
    return [entry for entry in split(text) if not _is_valid(entry, region=region)]


def normalise(entry: str, *, region: str) -> str:
    """Return an entry as calls are compared with it; "" if it is neither a number that can be dialled nor a mask.

    An entry stored before entries were validated may have other text around its number.
    """
    if entry.startswith(ERASED):
        return entry
    if entry.rstrip().endswith(MASK):
        beginning = phone_numbers.beginning_from_person(entry, region=region)
        return beginning and beginning + MASK
    typed = phone_numbers.from_person(entry, region=region)
    return typed.digits if typed else phone_numbers.extension_from_person(entry)


def members(text: str, *, region: str) -> frozenset[object]:
    """Return the numbers and masks of a list, normalised."""
    return frozenset(filter(None, (normalise(entry, region=region) for entry in split(text))))


def keys(contact: str) -> list[str]:
    """Return what a list may contain for this contact: the number itself, and each mask that it matches."""
    return [contact, *(contact[:length] + MASK for length in range(1, len(contact) + 1))]


def shown(entry: str) -> str:
    """Return a normalised entry as a person could have typed it, in international form."""
    if is_token(entry):
        return entry
    return f"+{entry}" if entry.endswith(MASK) else phone_numbers.e164(entry)


class ContactList(frozenset[object]):
    """The numbers of a rule, of which some may be known by their tokens only."""

    token_of: Callable[[str], str]

    @classmethod
    def create(cls, members: Iterable[object], token_of: Callable[[str], str]) -> Self:
        created = cls(members)
        created.token_of = token_of
        return created

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        items = list(other)
        if not super().isdisjoint(items):
            return False
        if not any(is_token(str(member)) for member in self):
            return True
        numbers = {str(item) for item in items if item and not str(item).endswith(MASK)}
        return super().isdisjoint({self.token_of(number) for number in numbers})


def is_token(text: str) -> bool:
    return text.startswith(ERASED)


def _is_valid(entry: str, *, region: str) -> bool:
    if not _ENTRY.fullmatch(entry):
        return bool(_TOKEN.fullmatch(entry))
    number = normalise(entry, region=region)
    if number.endswith(MASK):
        return len(number) <= phone_numbers.LONGEST
    return bool(number)
