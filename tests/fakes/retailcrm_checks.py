"""The vendor's rules for the fields of an entity, and the errors they give."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.retailcrm_http import BAD_ENTITY, BLANK, INVALID, NOT_A_CHOICE, NOT_A_URL, TOO_LONG, Refused

LONGEST = 255


class Checked:
    """One entity under inspection: each rule looks at fields by name and notes at most one error per field.

    Nulls count as not sent: official clients send null for whatever is unset.
    """

    def __init__(self, sent: Any, *, prefix: str = "") -> None:
        self.sent = {name: value for name, value in sent.items() if value is not None} if is_map(sent) else {}
        self.prefix = prefix
        self.errors: dict[str, str] = {}
        if not is_map(sent):
            self.errors[prefix.rstrip(".")] = INVALID

    def fail(self, name: str, message: str) -> None:
        """Note an error; the first one of a field stays."""
        self.errors.setdefault(self.prefix + name, message)

    def required(self, *names: str) -> None:
        """These must be there."""
        for name in names:
            if self.sent.get(name, "") == "":
                self.fail(name, BLANK)

    def text(self, *names: str) -> None:
        """These are strings, neither empty nor longer than the vendor stores."""
        for name, value in self._given(names):
            if not isinstance(value, str):
                self.fail(name, INVALID)
            elif not value.strip():
                self.fail(name, BLANK)
            elif len(value) > LONGEST:
                self.fail(name, TOO_LONG)

    def url(self, *names: str) -> None:
        """These are absolute addresses."""
        self.text(*names)
        for name, value in self._given(names):
            if not is_url(value):
                self.fail(name, NOT_A_URL)

    def number(self, *names: str) -> None:
        """These are whole numbers, not below zero."""
        for name, value in self._given(names):
            if not is_number(value) or value < 0:
                self.fail(name, INVALID)

    def flag(self, *names: str) -> None:
        """These are true or false, and not the words for it."""
        for name, value in self._given(names):
            if not isinstance(value, bool):
                self.fail(name, INVALID)

    def choice(self, name: str, allowed: Iterable[str]) -> None:
        """This is one of the vendor's words."""
        if name in self.sent and self.sent[name] not in list(allowed):
            self.fail(name, NOT_A_CHOICE)

    def rows(self, name: str) -> "list[Checked]":
        """Return a list field, each entry to be inspected on its own."""
        given = self.sent.get(name, [])
        if not isinstance(given, list):
            self.fail(name, INVALID)
            return []
        return [Checked(row, prefix=f"{self.prefix}{name}[{index}].") for index, row in enumerate(given)]

    def take(self, *others: "Checked") -> None:
        """Add what was found in parts of this entity."""
        for other in others:
            self.errors |= other.errors

    def settle(self, message: str = BAD_ENTITY) -> None:
        """Refuse the entity if anything is wrong with it."""
        if self.errors:
            raise Refused(400, message, self.errors)

    def _given(self, names: Iterable[str]) -> list[tuple[str, Any]]:
        return [(name, self.sent[name]) for name in names if name in self.sent]


def is_map(value: Any) -> bool:
    """True for a JSON object."""
    return isinstance(value, Mapping)


def is_number(value: Any) -> bool:
    """True for whole numbers; Python counts booleans among them, JSON does not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_url(value: Any) -> bool:
    """True for an absolute web address without blanks."""
    if not isinstance(value, str) or any(sign.isspace() for sign in value):
        return False
    parts = urlsplit(value)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def as_user_id(value: Any) -> int | None:
    """Read a user id as a module names it: a number, or a string of digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if is_number(value) else None
