"""Filters of calls by where they came from, and the values to choose from."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Q, QuerySet
from django_filters import CharFilter

from connector_project.core.db_functions import HasItem
from telephony.models import Call
from telephony.uis.attribution import LONGEST
from telephony.uis.call_facts import Fact

# The parameter of each filter, and the column that it filters.
COLUMNS = {"source": Fact.SOURCE, "scenario": Fact.SCENARIO, "campaign": Fact.CAMPAIGN, "tag": Fact.TAGS}
NEWEST = 1000
MOST_SUGGESTED = 200


class TextFilter(CharFilter):  # type: ignore[misc]
    """A name as UIS writes it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, max_length=LONGEST, **options)


class TagFilter(TextFilter):
    """One of the tags of a call."""

    def filter(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        # The second condition is that of the index.
        return rows.filter(HasItem("tags", value), ~Q(tags=[])) if value else rows


def suggestions(calls: QuerySet[Call]) -> dict[str, list[str]]:
    """Return the values of the newest of these calls, by the parameter of their filter. One query for all of them."""
    rows = calls.order_by("-started_at", "-pk").values_list(*COLUMNS.values())[:NEWEST]
    found: dict[str, dict[str, None]] = {name: {} for name in COLUMNS}
    for row in rows:
        for name, value in zip(COLUMNS, row, strict=True):
            found[name].update(dict.fromkeys(_texts(value)))
    return {name: sorted(values)[:MOST_SUGGESTED] for name, values in found.items()}


def _texts(value: Any) -> Iterable[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text]
