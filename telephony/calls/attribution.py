"""Resolves where a call came from, of what its sources told, in any order and with repeats. Pure.

A row of UIS's report outranks a notification, and a notification what is known of the virtual number. Of two that one
source told, the later one counts; of two of the number the earlier: its campaign may have changed since the call.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from telephony.uis.attribution import Value, Values
from telephony.uis.call_facts import ATTRIBUTION, Fact, Kind
from telephony.uis.types import CallEvent, EndedEvent


class Origin(StrEnum):
    """Which source told a fact; the strongest comes last."""

    STATIC = "STATIC"
    NOTIFICATION = "NOTIFICATION"
    REPORT = "REPORT"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one source told, and when; None: unknown."""

    origin: Origin
    values: Values
    at: datetime | None = None


@dataclass(frozen=True)
class KnownFact:
    value: Value
    origin: Origin
    at: datetime | None = None


Known = Mapping[str, KnownFact]
# The facts that are columns of a call; the others are in its document, as is where each comes from.
COLUMNS: Mapping[str, Value] = {Fact.SOURCE: "", Fact.SCENARIO: "", Fact.CAMPAIGN: "", Fact.TAGS: ()}
DOCUMENT = "attribution"
FIELDS = (*(str(name) for name in COLUMNS), DOCUMENT)
_RANKS = {origin: rank for rank, origin in enumerate(Origin)}


def told_by(events: Iterable[CallEvent]) -> tuple[Told, ...]:
    """Return what notifications tell."""
    return tuple(
        Told(origin=Origin.NOTIFICATION, values=event.attribution, at=event.happened_at)
        for event in events
        if event.attribution
    )


def told_by_row(row: EndedEvent, *, at: datetime) -> Told:
    """Return what a row of the report tells that was read at this moment."""
    return Told(origin=Origin.REPORT, values=row.attribution, at=at)


def merge(known: Known, *told: Told) -> dict[str, KnownFact]:
    """Return what is known by these too. The order in which they are merged makes no difference."""
    merged = dict(known)
    for one in told:
        for code, value in one.values.items():
            new = KnownFact(value, one.origin, one.at)
            merged[code] = max(merged.get(code, new), new, key=_strength)
    return merged


def is_news(before: Known, after: Known) -> bool:
    """Whether more is known than the time when it was told again."""
    return _without_times(before) != _without_times(after)


def from_columns(columns: Mapping[str, Any]) -> dict[str, KnownFact]:
    """Read the columns of a call, as `to_columns` returns them."""
    document: Mapping[str, Any] = columns[DOCUMENT] or {}
    known = {}
    for code in ATTRIBUTION:
        entry = document.get(code)
        if isinstance(entry, Mapping) and entry.get("from") in _RANKS:
            at = datetime.fromisoformat(entry["at"]) if entry.get("at") else None
            value = columns[code] if code in COLUMNS else entry.get("value", "")
            known[code.value] = KnownFact(_loaded(code, value), Origin(entry["from"]), at)
        elif code in COLUMNS and columns[code]:
            known[code.value] = KnownFact(_loaded(code, columns[code]), Origin.STATIC)
    return known


def to_columns(known: Known) -> dict[str, Any]:
    """Return the columns of a call."""
    values = {name: known[name].value if name in known else empty for name, empty in COLUMNS.items()}
    columns: dict[str, Any] = {str(name): _stored(value) for name, value in values.items()}
    return columns | {DOCUMENT: {code.value: _entry(code, known[code]) for code in ATTRIBUTION if code in known}}


def columns_of(call: Any) -> dict[str, Any]:
    return {name: getattr(call, name) for name in FIELDS}


def note(call: Any, told: Told) -> bool:
    """Set on a call what a source told; return whether that is news."""
    before = from_columns(columns_of(call))
    known = merge(before, told)
    for name, value in to_columns(known).items():
        setattr(call, name, value)
    return is_news(before, known)


def resolved(call: Any, told: Iterable[Told]) -> dict[str, Any]:
    """Return the columns of a call by these too, without setting them."""
    return to_columns(merge(from_columns(columns_of(call)), *told))


def joined(call: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a call by other columns too, which may know less of some facts, and more of others."""
    known = from_columns(columns).items()
    return resolved(call, [Told(origin=fact.origin, values={code: fact.value}, at=fact.at) for code, fact in known])


def _strength(fact: KnownFact) -> tuple[int, float, str]:
    at = fact.at.timestamp() if fact.at else 0.0
    return _RANKS[fact.origin], -at if fact.origin == Origin.STATIC else at, repr(fact.value)


def _without_times(known: Known) -> dict[str, tuple[Value, Origin]]:
    return {code: (fact.value, fact.origin) for code, fact in known.items()}


def _entry(code: Fact, fact: KnownFact) -> dict[str, Any]:
    value = {} if code in COLUMNS else {"value": _stored(fact.value)}
    return {**value, "from": fact.origin.value, **({"at": fact.at.isoformat()} if fact.at else {})}


def _loaded(code: Fact, value: Any) -> Value:
    if ATTRIBUTION[code].kind == Kind.NAMES:
        return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
    return value if isinstance(value, str | int) else str(value)


def _stored(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value
