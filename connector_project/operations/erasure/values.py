"""What becomes of a value that holds the number: pure functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models

from connector_project.core import phone_texts
from tenants import contact_list

ERASED = "[erased]"
UNIQUE_DIGITS = 12


@dataclass(frozen=True)
class Number:
    """The number to erase, and the token that stands for it where something must still recognise it."""

    digits: str
    token: str
    token_of: Callable[[str], str]  # of any text

    def is_in(self, text: str) -> bool:
        return bool(text) and phone_texts.spellings(self.digits).search(text) is not None

    def is_whole(self, text: str) -> bool:
        """Whether the text is the number and nothing else."""
        return phone_texts.spellings(self.digits).fullmatch(text.strip()) is not None


def erase_text(text: str, number: Number) -> str:
    """Return prose without the number; a column that is the number becomes empty, as for a caller who hides it."""
    if not number.is_in(text):
        return text
    return "" if number.is_whole(text) else phone_texts.replace_number(text, number.digits, ERASED)


def erase_list(text: str, number: Number) -> str:
    """Return a list of numbers, in which the token stands for this one: a rule goes on to recognise it."""
    lines = [number.token if number.is_whole(line) else erase_text(line, number) for line in contact_list.split(text)]
    return "\n".join(dict.fromkeys(lines)) if number.is_in(text) else text


def erase_json(value: Any, number: Number) -> Any:
    """Return a JSON value without the number, also where it is a key or no text."""
    if isinstance(value, str):
        return erase_text(value, number)
    if isinstance(value, Mapping):
        return {erase_text(str(name), number): erase_json(inner, number) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [erase_json(inner, number) for inner in value]
    is_number = isinstance(value, int) and not isinstance(value, bool) and number.is_whole(str(value))
    return None if is_number else value


def fitted(field: models.Field[Any, Any], text: str, before: str, number: Number) -> str:
    """Return the text as the column can store it: within its length, and unlike others where it must be unique."""
    if _is_unique(field):
        text = f"{text or ERASED}{number.token_of(before)[-UNIQUE_DIGITS:]}"
    longest = getattr(field, "max_length", None)
    return text[:longest] if longest else text


def _is_unique(field: models.Field[Any, Any]) -> bool:
    constraints = field.model._meta.total_unique_constraints
    together = [*field.model._meta.unique_together, *(constraint.fields for constraint in constraints)]
    return field.unique or any(field.name in names for names in together)
