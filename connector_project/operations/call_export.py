"""Calls as rows of an export: columns and values. Never contains a recording link or a key."""

from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from connector_project.core.tabular import Cell, Row
from crm import call_records
from telephony.calls.filters import HAS_RECORDING
from telephony.models import Call

CHUNK = 2000
Number = Callable[[str], str]  # formats a phone number for the user who exports

# Column name -> field. Programs rely on the names: they are not translated and do not change.
_FIELDS = {
    "tenant": "tenant__slug",
    "session_id": "session_id",
    "external_id": "session_id",
    "started_at": "started_at",
    "ended_at": "ended_at",
    "direction": "direction",
    "is_internal": "is_internal",
    "contact": "contact",
    "number": "number",
    "employee": "employee__full_name",
    "extension": "employee__extension",
    "result": "result",
    "talk_seconds": "talk_seconds",
    "wait_seconds": "wait_seconds",
    "state": "state",
    "rule": "skip_reason",
    "reason": "reason",
    "failed_at": "failed_at",
    "uploaded_at": "uploaded_at",
    "has_recording": "has_recording",
}
COLUMNS = tuple(_FIELDS)
_ZONE = "tenant__time_zone"
_MOMENTS = [place for place, name in enumerate(COLUMNS) if name.endswith("_at")]
_NUMBERS = [COLUMNS.index(name) for name in ("contact", "number")]
_EXTERNAL_ID = COLUMNS.index("external_id")


def rows(calls: QuerySet[Call], *, number: Number) -> Iterator[Row]:
    """Yield a row for each call, oldest first, streamed from the database."""
    found = calls.order_by("started_at", "pk").annotate(has_recording=HAS_RECORDING)
    for *cells, zone in found.values_list(*_FIELDS.values(), _ZONE).iterator(chunk_size=CHUNK):
        yield _row(cells, ZoneInfo(zone), number)


def _row(cells: list[Any], zone: ZoneInfo, number: Number) -> list[Cell]:
    for place in _MOMENTS:
        if cells[place] is not None:
            cells[place] = cells[place].astimezone(zone).isoformat(timespec="seconds")
    for place in _NUMBERS:
        cells[place] = number(cells[place])
    cells[_EXTERNAL_ID] = call_records.external_id(cells[_EXTERNAL_ID])
    return cells
