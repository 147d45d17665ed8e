"""Keyset pagination: each page starts right after a row, whatever is inserted meanwhile, and uses an index.

DRF's CursorPagination stores one ordering value and an offset, so it may skip rows that share a value. This cursor
stores all ordering values.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, Q
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

DEFAULT_PAGE_SIZE = 100


class KeysetPagination(BasePagination):
    """Keyset pagination over the view's `order`: one unique column, or two that are unique together."""

    next_link: str | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        order: Sequence[str] = view.order
        size = int(request.query_params.get("page_size") or DEFAULT_PAGE_SIZE)
        rows = queryset.order_by(*order)
        if cursor := request.query_params.get("cursor"):
            rows = rows.filter(_after_cursor(order, _values(cursor, _fields(queryset.model, order))))
        found = list(rows[: size + 1])
        if len(found) > size:
            cursor = _cursor(found[size - 1], order)
            self.next_link = replace_query_param(request.build_absolute_uri(), "cursor", cursor)
        return found[:size]

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next_link, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True, "description": str(_("null on the last page"))}
        return {"type": "object", "required": ["next", "results"], "properties": {"next": link, "results": schema}}


def _after_cursor(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Return a Q for the rows after the one with these values."""
    first, *second = order
    if not second:
        return Q((_compares(first), values[0]))
    is_passed = Q((first.lstrip("-"), values[0]), (f"{_compares(second[0], is_back=True)}e", values[1]))
    return Q((f"{_compares(first)}e", values[0])) & ~is_passed  # In this form an index on the first column is used.


def _compares(name: str, *, is_back: bool = False) -> str:
    is_down = name.startswith("-") != is_back
    return f"{name.lstrip('-')}__{'lt' if is_down else 'gt'}"


def _fields(model: type[Model], order: Sequence[str]) -> list[Field[Any, Any]]:
    return [model._meta.get_field(name.lstrip("-")) for name in order]  # type: ignore[misc]


def _cursor(row: Model, order: Sequence[str]) -> str:
    values = [getattr(row, name.lstrip("-")) for name in order]
    text = " ".join(value.isoformat() if hasattr(value, "isoformat") else str(value) for value in values)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _values(cursor: str, fields: Sequence[Field[Any, Any]]) -> list[Any]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        values = [field.to_python(part) for field, part in zip(fields, text.split(" "), strict=True)]
    except (ValidationError, ValueError) as exc:
        raise NotFound(_("There is no such page.")) from exc
    if any(isinstance(value, datetime) and value.tzinfo is None for value in values):
        raise NotFound(_("There is no such page."))
    return values
