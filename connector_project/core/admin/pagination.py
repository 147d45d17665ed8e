"""Keyset pagination for admin lists of millions of rows: newest first, never counted."""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from connector_project.core.keyset import InvalidCursor, Keyset

AFTER, BEFORE = "after", "before"  # the page of older rows; the page of newer rows


class KeysetChangeList(ChangeList):
    """A changelist ordered by the datetime field `keyset_field` of its admin, newest first."""

    is_keyset = True
    older: str | None = None
    newer: str | None = None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return [f"-{self.model_admin.keyset_field}", "-pk"]  # type: ignore[attr-defined]

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        for name in (AFTER, BEFORE):  # These choose a page, not rows: filter links must not keep them.
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_queryset(request, exclude_parameters)

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, and find out whether there are older and newer ones. A wrong cursor is ignored."""
        keyset = Keyset(self.queryset)
        cursors = {"after": request.GET.get(AFTER, ""), "before": request.GET.get(BEFORE, "")}
        try:
            page = keyset.page(size=self.list_per_page, **cursors)
        except InvalidCursor:
            page = keyset.page(size=self.list_per_page)
        self.result_list: Any = page.rows
        self.older = page.following and self.get_query_string({AFTER: page.following})
        self.newer = page.preceding and self.get_query_string({BEFORE: page.preceding})
        self._set_changelist_attributes()

    def _set_changelist_attributes(self) -> None:
        """Set the attributes that Django's templates read, as if this page were all rows."""
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all = self.multi_page = False
        self.paginator = Paginator(self.result_list, self.list_per_page)
