"""The vendor's rules for the fields of an entity, and their error messages."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.retailcrm_http import (
    BAD_ENTITY,
    BLANK,
    INVALID,
    NOT_A_CHOICE,
    NOT_A_URL,
    TOO_LONG,
    ApiError,
)

MAX_LENGTH = 255


class Validator:
    """Validates one entity: each method checks the named fields and records at most one error per field.

    Nulls count as absent: official clients send null for unset fields.
    """

    def __init__(self, sent: Any, *, prefix: str = "") -> None:
        self.sent = {name: value for name, value in sent.items() if value is not None} if is_map(sent) else {}
        self.prefix = prefix
        self.errors: dict[str, str] = {}
        if not is_map(sent):
            self.errors[prefix.rstrip(".")] = INVALID

    def fail(self, name: str, message: str) -> None:
        """Record an error; only the first one of a field is kept."""
        self.errors.setdefault(self.prefix + name, message)

    def required(self, *names: str) -> None:
        for name in names:
            if self.sent.get(name, "") == "":
                self.fail(name, BLANK)

    def text(self, *names: str) -> None:
        """Require strings that are not blank and at most 255 characters long."""
        for name, value in self._present(names):
            if not isinstance(value, str):
                self.fail(name, INVALID)
            elif not value.strip():
                self.fail(name, BLANK)
            elif len(value) > MAX_LENGTH:
                self.fail(name, TOO_LONG)

    def url(self, *names: str) -> None:
        """Require absolute URLs."""
        self.text(*names)
        for name, value in self._present(names):
            if not is_url(value):
                self.fail(name, NOT_A_URL)

    def number(self, *names: str) -> None:
        """Require non-negative integers."""
        for name, value in self._present(names):
            if not is_number(value) or value < 0:
                self.fail(name, INVALID)

    def flag(self, *names: str) -> None:
        """Require booleans."""
        for name, value in self._present(names):
            if not isinstance(value, bool):
                self.fail(name, INVALID)

    def choice(self, name: str, allowed: Iterable[str]) -> None:
        if name in self.sent and self.sent[name] not in list(allowed):
            self.fail(name, NOT_A_CHOICE)

    def rows(self, name: str) -> "list[Validator]":
        """Return one validator per entry of a list field."""
        rows = self.sent.get(name, [])
        if not isinstance(rows, list):
            self.fail(name, INVALID)
            return []
        return [Validator(row, prefix=f"{self.prefix}{name}[{index}].") for index, row in enumerate(rows)]

    def merge(self, *others: "Validator") -> None:
        """Add the errors of nested entities."""
        for other in others:
            self.errors |= other.errors

    def raise_errors(self, message: str = BAD_ENTITY) -> None:
        """Raise ApiError if there are errors."""
        if self.errors:
            raise ApiError(400, message, self.errors)

    def _present(self, names: Iterable[str]) -> list[tuple[str, Any]]:
        return [(name, self.sent[name]) for name in names if name in self.sent]


def is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def is_number(value: Any) -> bool:
    """Return whether the value is an integer; a bool is an int in Python, but not in JSON."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_url(value: Any) -> bool:
    """Return whether the value is an absolute http(s) URL without whitespace."""
    if not isinstance(value, str) or any(character.isspace() for character in value):
        return False
    parts = urlsplit(value)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def as_user_id(value: Any) -> int | None:
    """Parse a user id: a number, or a string of digits. None if it is neither."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if is_number(value) else None
