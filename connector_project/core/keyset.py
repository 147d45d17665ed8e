"""Keyset pagination: a page starts right after a row, whatever is inserted meanwhile, and uses an index.

DRF's CursorPagination stores one ordering value and an offset, so it may skip rows that share a value. This cursor
stores all ordering values.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, Q


class InvalidCursor(ValueError):
    """The cursor in the URL is none of ours."""


class Keyset:
    """Positions in rows ordered by `order`: one unique column, or two that are unique together."""

    def __init__(self, model: type[Model], order: Sequence[str]) -> None:
        self.order = order
        names = [model._meta.pk.name if name.endswith("pk") else name.lstrip("-") for name in order]
        self._fields: list[Field[Any, Any]] = [model._meta.get_field(name) for name in names]  # type: ignore[misc]

    def cursor(self, row: Model) -> str:
        """Return the position of a row, for a URL."""
        values = [field.value_from_object(row) for field in self._fields]
        text = " ".join(value.isoformat() if hasattr(value, "isoformat") else str(value) for value in values)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def after(self, cursor: str) -> Q:
        """Return the condition of the rows after that position. Raises InvalidCursor."""
        return self._beyond(self._values(cursor), is_back=False)

    def before(self, cursor: str) -> Q:
        """Return the condition of the rows before that position. Raises InvalidCursor."""
        return self._beyond(self._values(cursor), is_back=True)

    def _beyond(self, values: Sequence[Any], *, is_back: bool) -> Q:
        first, *second = self.order
        if not second:
            return Q((_compares(first, is_back=is_back), values[0]))
        passed = f"{_compares(second[0], is_back=not is_back)}e"
        is_passed = Q((first.lstrip("-"), values[0]), (passed, values[1]))
        # In this form an index on the first column is used.
        return Q((f"{_compares(first, is_back=is_back)}e", values[0])) & ~is_passed

    def _values(self, cursor: str) -> list[Any]:
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
            values = [field.to_python(part) for field, part in zip(self._fields, text.split(" "), strict=True)]
        except (ValidationError, ValueError, OverflowError) as exc:
            raise InvalidCursor(cursor) from exc
        if any(isinstance(value, datetime) and value.tzinfo is None for value in values):
            raise InvalidCursor(cursor)
        return values


def _compares(name: str, *, is_back: bool) -> str:
    is_down = name.startswith("-") != is_back
    return f"{name.lstrip('-')}__{'lt' if is_down else 'gt'}"
