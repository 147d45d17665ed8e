"""What becomes of a value that holds the number: pure functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from connector_project.core import number_forms
from tenants import contact_list

ERASED = "[erased]"
UNIQUE_DIGITS = 12


@dataclass(frozen=True)
class Number:
    """The number to erase, and the token that stands for it where something must still recognise it."""

    digits: str = field(repr=False)
    token: str
    token_of: Callable[[str], str]  # of any text

    def is_in(self, text: str) -> bool:
        return number_forms.contains(text, self.digits)

    def is_whole(self, text: str) -> bool:
        """Whether the text is the number and nothing else."""
        return number_forms.is_number(text, self.digits)


def erase_text(text: str, number: Number) -> str:
    """Return prose without the number; a column that is the number becomes empty, as for a caller who hides it."""
    return "" if number.is_whole(text) else number_forms.replace_number(text, number.digits, ERASED)


def erase_list(text: str, number: Number) -> str:
    """Return a list of numbers, in which the token stands for this one: a rule goes on to recognise it.

    It stands for the whole entry: an old one may have a name around its number, and a mask may be a whole number.
    """
    found = number_forms.replace_number(text, number.digits, number.token)
    lines = [number.token if number.token in line else line for line in contact_list.split(found)]
    return "\n".join(dict.fromkeys(lines)) if found != text else text


def erase_json(value: Any, number: Number) -> Any:
    """Return a JSON value without the number, also where it is a key or no text."""
    if isinstance(value, str):
        return erase_text(value, number)
    if isinstance(value, Mapping):
        return _erase_names(value, number)
    if isinstance(value, list | tuple):
        return [erase_json(inner, number) for inner in value]
    return None if _is_number(value, number) else value


def _is_number(value: Any, number: Number) -> bool:
    if isinstance(value, float):
        return number.is_whole(f"{value:.15g}")
    return isinstance(value, int) and not isinstance(value, bool) and number.is_whole(str(value))


def _erase_names(values: Mapping[Any, Any], number: Number) -> dict[str, Any]:
    """Erase names too; of two that become equal, the second gets a digit, so that no value is lost."""
    erased: dict[str, Any] = {}
    for name, value in values.items():
        text = plain = erase_text(str(name), number)
        count = 1
        while text in erased:
            count += 1
            text = f"{plain}{count}"
        erased[text] = erase_json(value, number)
    return erased


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
