"""Pages of a list: each begins right behind a row, whatever is added meanwhile, and an index finds that row.

DRF's own cursor remembers one value of the order and counts on from there; going through rows that share a value it may
lose one. This one remembers the whole order.
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

USUAL_PAGE = 100


class Pages(BasePagination):
    """Reads on from where a cursor says. A view names its `order`: one column, or two that no two rows share."""

    next_link: str | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return one page."""
        order: Sequence[str] = view.order
        size = int(request.query_params.get("page_size") or USUAL_PAGE)
        rows = queryset.order_by(*order)
        if cursor := request.query_params.get("cursor"):
            rows = rows.filter(_behind(order, _values(cursor, _fields(queryset.model, order))))
        found = list(rows[: size + 1])
        if len(found) > size:
            behind = _cursor(found[size - 1], order)
            self.next_link = replace_query_param(request.build_absolute_uri(), "cursor", behind)
        return found[:size]

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next_link, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True, "description": str(_("null on the last page"))}
        return {"type": "object", "required": ["next", "results"], "properties": {"next": link, "results": schema}}


def _behind(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Return the condition that a row comes after the one with these values."""
    first, *second = order
    if not second:
        return Q((_compares(first), values[0]))
    is_passed = Q((first.lstrip("-"), values[0]), (f"{_compares(second[0], is_back=True)}e", values[1]))
    return Q((f"{_compares(first)}e", values[0])) & ~is_passed  # Put so, an index on the first column leads there.


def _compares(name: str, *, is_back: bool = False) -> str:
    is_down = name.startswith("-") != is_back
    return f"{name.lstrip('-')}__{'lt' if is_down else 'gt'}"


def _fields(model: type[Model], order: Sequence[str]) -> list[Field[Any, Any]]:
    return [model._meta.get_field(name.lstrip("-")) for name in order]  # type: ignore[misc]


def _cursor(row: Model, order: Sequence[str]) -> str:
    values = [getattr(row, name.lstrip("-")) for name in order]
    said = " ".join(value.isoformat() if hasattr(value, "isoformat") else str(value) for value in values)
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def _values(cursor: str, fields: Sequence[Field[Any, Any]]) -> list[Any]:
    try:
        said = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        values = [field.to_python(part) for field, part in zip(fields, said.split(" "), strict=True)]
    except (ValidationError, ValueError) as exc:
        raise NotFound(_("There is no such page.")) from exc
    if any(isinstance(value, datetime) and value.tzinfo is None for value in values):
        raise NotFound(_("There is no such page."))
    return values
