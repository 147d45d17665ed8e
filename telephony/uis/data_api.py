"""Paginated, windowed and batched reads of the Data API; each row once."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from connector_project.core.http_client import RemoteRejected, UnexpectedReply
from telephony.uis import date_windows, schemas
from telephony.uis.errors import SYSTEM
from telephony.uis.fields import Locale, Row, to_local
from telephony.uis.jsonrpc import Channel
from telephony.uis.types import CallLeg

PAGE = 1000
LARGEST_OFFSET = 100_000
LARGEST_LIMIT = 10_000
SESSIONS_A_REQUEST = 100
BY_START = [{"field": "start_time", "order": "asc"}]
# Of a column that the account has no component for, or the brand does not know.
_COLUMN_REJECTED = {"parameter_component_disabled", "unexpected_parameters"}
_SORT_REJECTED = {"sort_prohibited", "unexpected_parameters"}
_IN_REJECTED = {"invalid_parameter_value", "data_type_error", "filter_prohibited", "unexpected_parameters"}

RowT = TypeVar("RowT", bound=Row)
DatedT = TypeVar("DatedT", schemas.CallRow, CallLeg)


@dataclass(frozen=True)
class Listing(Generic[RowT]):
    """A list as one reading found it; incomplete if UIS sends or states more rows than we could read."""

    rows: list[RowT]
    is_complete: bool = True


class _Page(NamedTuple, Generic[RowT]):
    """The rows of one answer that could be read, how many it has, and how many UIS states in all."""

    rows: list[RowT]
    sent: int
    total: int | None


class TooManyRows(UnexpectedReply):
    """UIS has more rows than its largest offset allows to read."""


@dataclass(kw_only=True)
class Reader:
    """Reads lists of the Data API. Every method raises the errors of core.http_client."""

    data: Channel
    zone: ZoneInfo
    region: str = "RU"
    agent_user_id: int | None = None
    supports_in_operator: bool = True
    # Rows of reports left out so far because they were not as documented, and when about each began. The key is the
    # row's id, or a negative number where it has none.
    unread: dict[int, datetime] = field(default_factory=dict)
    shortfall: int = 0  # rows of reports that UIS counted, but did not send
    sorts_by_id: bool = True
    refused_columns: dict[str, UnexpectedReply] = field(default_factory=dict)  # by method

    def _ask(self, method: str, params: Mapping[str, object]) -> Any:
        agent = {"user_id": self.agent_user_id} if self.agent_user_id else {}
        return self.data.request(method, {**agent, **params})

    def _ask_columns(self, method: str, params: Mapping[str, Any], optional: Sequence[str]) -> Any:
        """Ask for optional columns too; without all of them if UIS refuses one: its error need not say which.

        A refused request costs no points.
        """
        if optional and method not in self.refused_columns:
            try:
                return self._ask(method, {**params, "fields": [*params["fields"], *optional]})
            except UnexpectedReply as exc:
                if exc.code not in _COLUMN_REJECTED:
                    raise
                self.refused_columns[method] = exc
        return self._ask(method, params)

    def _parse(self, kind: type[RowT], data: object) -> list[RowT]:
        return schemas.parse(kind, data, Locale(self.zone, self.region))

    def _all(self, method: str, params: Mapping[str, object], kind: type[RowT]) -> Iterator[RowT]:
        for page in self._pages(method, params, kind):
            yield from page.rows

    def _pages(
        self, method: str, params: Mapping[str, object], kind: type[RowT], optional: Sequence[str] = ()
    ) -> Iterator[_Page[RowT]]:
        for offset in range(0, LARGEST_OFFSET + 1, PAGE):
            result = self._ask_columns(method, {**params, "limit": PAGE, "offset": offset}, optional)
            rows = self._parse(kind, result.data)
            sent = len(result.data) if isinstance(result.data, list) else len(rows)
            yield _Page(rows, sent, result.total)
            if sent < PAGE or (result.total is not None and offset + sent >= result.total):
                return
        raise TooManyRows(SYSTEM, f"UIS has more rows than it returns ({method}).")

    def _list(
        self, method: str, params: Mapping[str, object], kind: type[RowT], optional: Sequence[str] = ()
    ) -> Listing[RowT]:
        """Read a whole list, by id so that no row moves to a page that was read already.

        UIS does not document by which fields these lists can be sorted, so an account may refuse it.
        """
        order = {"sort": [{"field": "id", "order": "asc"}]} if self.sorts_by_id else {}
        try:
            pages = list(self._pages(method, {**params, **order}, kind, optional))
        except (RemoteRejected, UnexpectedReply) as exc:
            if not order or exc.code not in _SORT_REJECTED:
                raise
            self.sorts_by_id = False
            return self._list(method, params, kind, optional)
        rows = {row: None for page in pages for row in page.rows}  # a page may repeat a row
        stated = max((page.total or 0 for page in pages), default=0)
        is_read = all(len(page.rows) == page.sent for page in pages)
        return Listing(list(rows), is_complete=is_read and len(rows) >= stated)

    def _dated(
        self,
        method: str,
        params: Mapping[str, object],
        kind: type[DatedT],
        *,
        since: datetime,
        till: datetime,
        optional: Sequence[str] = (),
    ) -> Iterator[DatedT]:
        """Read a report over a period of any length; each row once, although adjacent windows share a second."""
        seen: set[int] = set()
        for first, last in date_windows.split(since, till, zone=self.zone):
            for row in self._in_window(method, params, kind, first=first, last=last, optional=optional):
                if _row_id(row) not in seen:
                    seen.add(_row_id(row))
                    yield row

    def _in_window(
        self,
        method: str,
        params: Mapping[str, object],
        kind: type[DatedT],
        *,
        first: str,
        last: str,
        optional: Sequence[str],
    ) -> Iterator[DatedT]:
        """Read one window, sorted by the start of the rows: UIS sorts a report by no field that is unique.

        Rows of one second may come in another order with each request. So each page begins again with the last second
        of the one before, and a page that is one second whole is asked for again, larger. A row may come twice.
        """
        limit = PAGE
        while True:
            window = {"date_from": first, "date_till": last, "limit": limit, "offset": 0}
            result = self._ask_columns(method, {**params, "sort": BY_START, **window}, optional)
            rows = self._parse(kind, result.data)
            sent = self._note_rows(result.data or [], rows)
            yield from rows
            if sent >= result.total if result.total is not None else sent < limit:
                return
            newest = to_local(rows[-1].started_at, zone=self.zone) if rows else first
            if newest > first:
                first, limit = newest, PAGE
            elif sent < limit:
                self.shortfall += (result.total or 0) - sent
                return
            elif limit < LARGEST_LIMIT:
                limit = min(10 * limit, LARGEST_LIMIT)
            else:
                raise TooManyRows(SYSTEM, f"UIS has more rows in one second than it returns ({method}).")

    def _note_rows(self, raws: Sequence[object], rows: Sequence[DatedT]) -> int:
        """Return how many rows a page has, and note those that could not be read."""
        if rows:
            by_id, before = {_row_id(row): row for row in rows}, rows[0].started_at
            for raw in raws:
                key = _raw_key(raw)
                if key in by_id:
                    before = by_id[key].started_at
                else:
                    self.unread[key] = before
        return len(raws)

    def _of_sessions(
        self,
        report: tuple[str, str],
        session_ids: Sequence[int],
        kind: type[DatedT],
        *,
        since: datetime,
        till: datetime,
        optional: Sequence[str] = (),
    ) -> list[DatedT]:
        """Read the rows of many sessions, a hundred per request. `report`: method, session field."""
        method, field = report
        fields = kind.wire_names()

        def fetch(condition: Mapping[str, object]) -> list[DatedT]:
            params = {"fields": fields, "filter": condition}
            return list(self._dated(method, params, kind, since=since, till=till, optional=optional))

        starts = range(0, len(session_ids), SESSIONS_A_REQUEST)
        batches = (session_ids[start : start + SESSIONS_A_REQUEST] for start in starts)
        return [row for batch in batches for row in self._of_batch(fetch, field, batch)]

    def _of_batch(
        self, fetch: Callable[[Mapping[str, object]], list[DatedT]], field: str, batch: Sequence[int]
    ) -> list[DatedT]:
        """Filter with the operator `in`; use one `or` condition per session where the account rejects it."""
        if self.supports_in_operator:
            try:
                return fetch({"field": field, "operator": "in", "value": list(batch)})
            except (RemoteRejected, UnexpectedReply) as exc:
                if exc.code not in _IN_REJECTED:
                    raise
                self.supports_in_operator = False
        conditions = [{"field": field, "operator": "=", "value": session_id} for session_id in batch]
        return fetch({"filters": conditions, "condition": "or"} if len(conditions) > 1 else conditions[0])


def _row_id(row: schemas.CallRow | CallLeg) -> int:
    return row.leg_id if isinstance(row, CallLeg) else row.session_id


def _raw_key(raw: object) -> int:
    """Return the id of a row of a report; of one without an id a negative number that is the same each time."""
    row_id = str(raw.get("id")) if isinstance(raw, dict) else ""
    return int(row_id) if row_id.isascii() and row_id.isdigit() else -1 - zlib.crc32(repr(raw).encode())
