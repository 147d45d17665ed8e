"""Calls as rows of an export: columns and values. Never contains a recording link or a key."""

from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from connector_project.core import phone_numbers
from connector_project.core.redaction import redact
from connector_project.core.tabular import Cell, Row
from crm import call_records
from telephony.calls import attribution
from telephony.calls.filters import HAS_RECORDING
from telephony.models import Call
from telephony.uis.call_facts import ATTRIBUTION
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
    "source": "source",
    "scenario": "scenario",
    "campaign": "campaign",
    "tags": "tags",
    "attribution": "attribution",
}
# In the place of the last column, one of each of these facts.
_FACTS = tuple(code.value for code in ATTRIBUTION if code not in attribution.COLUMNS)
COLUMNS = (*list(_FIELDS)[:-1], *_FACTS)
_ZONE = "tenant__time_zone"
_MOMENTS = [place for place, name in enumerate(COLUMNS) if name.endswith("_at")]
_NUMBERS = [COLUMNS.index(name) for name in ("contact", "number")]
_TEXTS = [COLUMNS.index(name) for name in ("employee", "source", "scenario", "campaign", "tags", *_FACTS)]
_TAGS = COLUMNS.index("tags")
_EXTERNAL_ID = COLUMNS.index("external_id")


def rows(calls: QuerySet[Call], *, reader: Any) -> Iterator[Row]:
    """Yield a row for each call, oldest first, streamed from the database, as the reader may see numbers.

    None is the service itself, which sees whole ones.
    """
    is_masked = not permissions.can_see_full_numbers(reader)
    number, text = (phone_numbers.mask, redact) if is_masked else (phone_numbers.e164, str)
    found = calls.order_by("started_at", "pk").annotate(has_recording=HAS_RECORDING)
    for *cells, known, zone in found.values_list(*_FIELDS.values(), _ZONE).iterator(chunk_size=CHUNK):
        cells[_TAGS] = ", ".join(cells[_TAGS])
        cells += [known.get(name, {}).get("value", "") for name in _FACTS]
        yield _row(cells, ZoneInfo(zone), number, text)


def _row(cells: list[Any], zone: ZoneInfo, number: Format, text: Format) -> list[Cell]:
    for place in _MOMENTS:
        if cells[place] is not None:
            cells[place] = cells[place].astimezone(zone).isoformat(timespec="seconds")
    for place in _NUMBERS:
        cells[place] = number(cells[place])
    for place in _TEXTS:  # A name may hold a number.
        cells[place] = text(cells[place]) if isinstance(cells[place], str) else cells[place]
    cells[_EXTERNAL_ID] = call_records.external_id(cells[_EXTERNAL_ID])
    return cells
