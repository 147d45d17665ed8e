"""Reads where a call came from, out of notifications, rows of the report, and campaigns. Never raises.

What is not told, or cannot be read, is left out; a list of tags may be told to be empty.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from telephony.uis import macro_values
from telephony.uis.call_facts import ATTRIBUTION, FACTS, Fact, Kind

LONGEST = 250
LONGEST_NAME = 100
MOST_NAMES = 30
_LARGEST_RATING = 100

Value = str | int | tuple[str, ...]
Values = Mapping[str, Value]


def of_notification(told: Mapping[str, object]) -> dict[str, Value]:
    """Read the macros of a notification, by the codes of their facts."""
    found: dict[str, Value] = {}
    for fact, macro in _MACROS:
        if macro in told and fact not in found:
            _add(found, fact, told[macro])
    return found


def of_row(raw: Mapping[str, Any]) -> dict[str, Value]:
    """Read the columns of a row of the report: those that were asked for."""
    found: dict[str, Value] = {}
    for fact, column in _COLUMNS:
        if column in raw:
            _add(found, fact, _tag_names(raw[column]) if fact == Fact.TAGS else raw[column])
    return found


def of_campaigns(campaigns: Iterable[Mapping[str, Any]]) -> dict[str, Value]:
    """Read what the campaigns of one virtual number have in common; of two that differ nothing is known."""
    told = [_static(campaign) for campaign in campaigns]
    first = told[0] if told else {}
    return {fact: value for fact, value in first.items() if all(one.get(fact) == value for one in told)}


def _static(campaign: Mapping[str, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for fact, column in _STATIC:
        _add(found, fact, campaign.get(column))
    return found


def _add(found: dict[str, Value], fact: Fact, raw: object) -> None:
    value = _READERS[FACTS[fact].kind](raw)
    if value is not None:
        found[fact.value] = value


def _text(raw: object) -> str | None:
    return _cleaned(raw)[:LONGEST] or None


def _cleaned(raw: object) -> str:
    """Return a text without what PostgreSQL rejects: NUL, and lone surrogates."""
    is_one = isinstance(raw, str | int) and not isinstance(raw, bool)
    return str(raw).replace("\0", "").encode(errors="replace").decode().strip() if is_one else ""


def _names(raw: object) -> tuple[str, ...] | None:
    """Read a list of names; in a query it is the text of a JSON array. Any other text is one name."""
    if isinstance(raw, str):
        raw = _listed(raw.strip())
    if not isinstance(raw, list | tuple):
        return None
    names = (_cleaned(name)[:LONGEST_NAME] for name in raw)
    found = tuple(dict.fromkeys(filter(None, names)))[:MOST_NAMES]
    return found if found or not raw else None


def _listed(text: str) -> object:
    if text[:1] != "[":
        return [text]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _tag_names(raw: object) -> object:
    if not isinstance(raw, list):
        return None
    return [tag.get("tag_name") if isinstance(tag, dict) else tag for tag in raw]


def _rating(raw: object) -> int | None:
    number = macro_values.whole(raw)
    return number if number is not None and number <= _LARGEST_RATING else None


_READERS: Mapping[Kind, Callable[[object], Value | None]] = {
    Kind.TEXT: _text,
    Kind.NAMES: _names,
    Kind.RATING: _rating,
}
_MACROS = [(fact, macro) for fact, known in ATTRIBUTION.items() for macro in known.macros]
_COLUMNS = [(fact, known.column) for fact, known in ATTRIBUTION.items()]
_STATIC = [(fact, known.static) for fact, known in ATTRIBUTION.items() if known.static]
