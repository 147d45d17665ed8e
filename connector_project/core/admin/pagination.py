"""Keyset pagination for admin lists of millions of rows: newest first, never counted."""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from connector_project.core.keyset import InvalidCursor, Keyset

AFTER, BEFORE = "after", "before"  # the page of older rows; the page of newer rows


class KeysetChangeList(ChangeList):
    """A changelist ordered by the datetime field `keyset_field` of its admin, newest first.

    It reads one row more than fits on a page to find out whether there is another page, so it never counts rows.
    """

    is_keyset = True
    older: str | None = None
    newer: str | None = None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return [f"-{self._moment}", "-pk"]

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        for name in (AFTER, BEFORE):  # These choose a page, not rows: filter links must not keep them.
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_queryset(request, exclude_parameters)

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, and find out whether there are older and newer ones. A wrong cursor is ignored."""
        self._keyset = Keyset(self.model, [f"-{self._moment}", "-pk"])
        try:
            queryset, is_back, is_first = self._chosen(request)
        except InvalidCursor:
            queryset, is_back, is_first = self.queryset, False, True
        rows = list(queryset[: self.list_per_page + 1])
        has_more = len(rows) > self.list_per_page
        self.result_list: Any = rows[: self.list_per_page]
        if is_back:
            self.result_list.reverse()
        self._link(has_older=is_back or has_more, has_newer=has_more if is_back else not is_first)
        self._set_changelist_attributes()

    @property
    def _moment(self) -> str:
        moment: str = self.model_admin.keyset_field  # type: ignore[attr-defined]
        return moment

    def _chosen(self, request: HttpRequest) -> tuple[Any, bool, bool]:
        """Return the rows of the chosen page and beyond, whether they go back, and whether it is the first page."""
        if cursor := request.GET.get(AFTER):
            return self.queryset.filter(self._keyset.after(cursor)), False, False
        if cursor := request.GET.get(BEFORE):
            newer = self.queryset.filter(self._keyset.before(cursor))
            return newer.order_by(self._moment, "pk"), True, False
        return self.queryset, False, True

    def _link(self, *, has_older: bool, has_newer: bool) -> None:
        rows = self.result_list
        if rows and has_older:
            self.older = self.get_query_string({AFTER: self._keyset.cursor(rows[-1])})
        if rows and has_newer:
            self.newer = self.get_query_string({BEFORE: self._keyset.cursor(rows[0])})

    def _set_changelist_attributes(self) -> None:
        """Set the attributes that Django's templates read, as if this page were all rows."""
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all = self.multi_page = False
        self.paginator = Paginator(self.result_list, self.list_per_page)
