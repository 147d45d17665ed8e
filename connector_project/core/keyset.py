"""Keyset pagination: a page starts right after a row, whatever is inserted meanwhile, and uses an index.

DRF's CursorPagination stores one ordering value and an offset, so it may skip rows that share a value. This cursor
stores all ordering values.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from connector_project.core.filters import LARGEST_ID


class InvalidCursor(ValueError):
    """The cursor in the URL is none of ours."""


class Page(NamedTuple):
    """Rows, and the cursors of the pages next to them."""

    rows: list[Any]
    following: str | None
    preceding: str | None


class Keyset:
    """Positions in rows that are ordered by one unique column, or by two that are unique together."""

    def __init__(self, rows: QuerySet[Any]) -> None:
        self.rows, self.order = rows, [str(name) for name in rows.query.order_by]
        options = rows.model._meta
        names = [options.pk.name if name.endswith("pk") else name.lstrip("-") for name in self.order]
        self._fields = [options.get_field(name) for name in names]

    def cursor(self, row: Model) -> str:
        """Return the position of a row, for a URL."""
        values = [field.value_from_object(row) for field in self._fields]
        text = " ".join(value.isoformat() if hasattr(value, "isoformat") else str(value) for value in values)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def page(self, *, size: int, after: str = "", before: str = "") -> Page:
        """Read the page after or before a position. Raises InvalidCursor."""
        rows, is_back = self.rows, bool(before and not after)
        if cursor := after or before:
            rows = rows.filter(self._beyond(self._values(cursor), is_back=is_back))
        # One more row shows whether another page follows, so rows are never counted.
        found = list((rows.reverse() if is_back else rows)[: size + 1])
        has_more, found = len(found) > size, found[:size]
        if is_back:
            found.reverse()
        is_followed, is_preceded = is_back or has_more, has_more if is_back else bool(after)
        return Page(
            rows=found,
            following=self.cursor(found[-1]) if found and is_followed else None,
            preceding=self.cursor(found[0]) if found and is_preceded else None,
        )

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
            if any(isinstance(value, datetime) and value.tzinfo is None for value in values):
                raise InvalidCursor(cursor)
            return [_comparable(value) for value in values]
        except (ValidationError, ValueError, OverflowError) as exc:
            raise InvalidCursor(cursor) from exc


def _comparable(value: Any) -> Any:
    """Return the same position as a value that every database compares: SQLite fails on numbers beyond a BIGINT."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)  # PostgreSQL rejects offsets of 16 hours and more.
    return max(-LARGEST_ID, min(LARGEST_ID, value)) if isinstance(value, int) else value


def _compares(name: str, *, is_back: bool) -> str:
    is_down = name.startswith("-") != is_back
    return f"{name.lstrip('-')}__{'lt' if is_down else 'gt'}"
