"""Keyset pagination for admin lists of millions of rows: newest first, never counted."""

from datetime import UTC, datetime
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest

AFTER, BEFORE = "after", "before"  # the page of older rows; the page of newer rows
Cursor = tuple[datetime, int]


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
        """Read one page, and find out whether there are older and newer ones."""
        after, before = (_parse_cursor(request.GET.get(name, "")) for name in (AFTER, BEFORE))
        is_back = before is not None and after is None
        rows = list(self._page(after, before)[: self.list_per_page + 1])
        has_more = len(rows) > self.list_per_page
        self.result_list: Any = rows[: self.list_per_page]
        if is_back:
            self.result_list.reverse()
        self._link(has_older=is_back or has_more, has_newer=has_more if is_back else after is not None)
        self._set_changelist_attributes()

    @property
    def _moment(self) -> str:
        moment: str = self.model_admin.keyset_field  # type: ignore[attr-defined]
        return moment

    def _page(self, after: Cursor | None, before: Cursor | None) -> Any:
        if after:
            return self.queryset.filter(self._after_cursor(after, "lt"))
        if before:
            return self.queryset.filter(self._after_cursor(before, "gt")).order_by(self._moment, "pk")
        return self.queryset

    def _after_cursor(self, cursor: Cursor, side: str) -> Q:
        moment, pk = cursor
        # The first condition is redundant, but it lets the database use an index.
        later = Q((f"{self._moment}__{side}", moment)) | Q((f"pk__{side}", pk))
        return Q((f"{self._moment}__{side}e", moment)) & later

    def _link(self, *, has_older: bool, has_newer: bool) -> None:
        rows = self.result_list
        if rows and has_older:
            self.older = self.get_query_string({AFTER: self._cursor(rows[-1])})
        if rows and has_newer:
            self.newer = self.get_query_string({BEFORE: self._cursor(rows[0])})

    def _cursor(self, row: Any) -> str:
        return f"{getattr(row, self._moment).isoformat()}_{row.pk}"

    def _set_changelist_attributes(self) -> None:
        """Set the attributes that Django's templates read, as if this page were all rows."""
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all = self.multi_page = False
        self.paginator = Paginator(self.result_list, self.list_per_page)


def _parse_cursor(text: str) -> Cursor | None:
    """Parse a cursor from the URL; None if it is invalid."""
    moment, _, pk = text.replace(" ", "+").rpartition("_")
    try:
        parsed = datetime.fromisoformat(moment)
        return (parsed.astimezone(UTC), int(pk)) if parsed.tzinfo else None
    except (ValueError, OverflowError):
        return None
