"""The API's pagination over `core.keyset`."""

from typing import Any

from django.forms import IntegerField
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from connector_project.core.keyset import InvalidCursor, Keyset

DEFAULT_PAGE_SIZE = 100


class KeysetPagination(BasePagination):
    """Keyset pagination in the order of the view's queryset."""

    next_link: str | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        params = request.query_params
        size = IntegerField(required=False).clean(params.get("page_size")) or DEFAULT_PAGE_SIZE
        try:
            page = Keyset(queryset).page(size=size, after=params.get("cursor", ""))
        except InvalidCursor as exc:
            raise NotFound(_("There is no such page.")) from exc
        if page.following:
            self.next_link = replace_query_param(request.build_absolute_uri(), "cursor", page.following)
        return page.rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next_link, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True, "description": str(_("null on the last page"))}
        return {"type": "object", "required": ["next", "results"], "properties": {"next": link, "results": schema}}
