"""Calls as rows of an export: columns and values. Never contains a recording link or a key."""

from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from connector_project.core import phone_numbers
from connector_project.core.redaction import redact
from connector_project.core.tabular import Cell, Row
from crm import call_records
from telephony.calls.filters import HAS_RECORDING
from telephony.models import Call
from tenants import permissions

CHUNK = 2000
Format = Callable[[str], str]  # formats a text for the reader

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
_EMPLOYEE = COLUMNS.index("employee")
_EXTERNAL_ID = COLUMNS.index("external_id")


def rows(calls: QuerySet[Call], *, reader: Any) -> Iterator[Row]:
    """Yield a row for each call, oldest first, streamed from the database, as the reader may see numbers.

    None is the service itself, which sees whole ones.
    """
    is_masked = not permissions.can_see_full_numbers(reader)
    number, text = (phone_numbers.mask, redact) if is_masked else (phone_numbers.e164, str)
    found = calls.order_by("started_at", "pk").annotate(has_recording=HAS_RECORDING)
    for *cells, zone in found.values_list(*_FIELDS.values(), _ZONE).iterator(chunk_size=CHUNK):
        yield _row(cells, ZoneInfo(zone), number, text)


def _row(cells: list[Any], zone: ZoneInfo, number: Format, text: Format) -> list[Cell]:
    for place in _MOMENTS:
        if cells[place] is not None:
            cells[place] = cells[place].astimezone(zone).isoformat(timespec="seconds")
    for place in _NUMBERS:
        cells[place] = number(cells[place])
    cells[_EMPLOYEE] = cells[_EMPLOYEE] and text(cells[_EMPLOYEE])  # A name may hold a number.
    cells[_EXTERNAL_ID] = call_records.external_id(cells[_EXTERNAL_ID])
    return cells
