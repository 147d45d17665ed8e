"""Parsed events as they are stored on their notification: typed and versioned, read by every later step."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from telephony.uis.types import AnsweredEvent, CallEvent, EndedEvent, Event, OtherEvent, RecordingEvent, RingingEvent

VERSION = 1  # An incompatible change of an event class gets a new number, and `load` a reader of the old one.
# How many events of a kind are kept of one call, the newest ones: reading a call costs no more, whatever it is sent. A
# call that has had so many is decided by UIS's report.
KEPT: Mapping[str, int] = {
    Event.INCOMING: 10,
    Event.WAITING: 90,
    Event.OUTGOING: 20,
    Event.TALK_STARTED: 20,
    Event.TALK_FINISHED: 10,
    Event.CALL_END: 20,
    Event.LOST_CALL: 10,
    Event.RECORDED: 20,
}
_KINDS: dict[str, type[CallEvent]] = {
    "RINGING": RingingEvent,
    "ANSWERED": AnsweredEvent,
    "ENDED": EndedEvent,
    "RECORDING": RecordingEvent,
    "OTHER": OtherEvent,
}
_CODES = {kind: code for code, kind in _KINDS.items()}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {code: TypeAdapter(kind) for code, kind in _KINDS.items()}


class UnknownVersion(Exception):
    """The event was stored by a newer release."""


def dump(event: CallEvent) -> dict[str, Any]:
    """Return the event as JSON values."""
    code = _CODES[type(event)]
    values = _ADAPTERS[code].dump_python(event, mode="json", exclude_defaults=True)
    return {"version": VERSION, "kind": code, "values": values}


def load(stored: Any) -> CallEvent:
    """Return the event that `dump` wrote. Raises UnknownVersion."""
    if stored["version"] != VERSION:
        raise UnknownVersion(str(stored["version"]))
    event: CallEvent = _ADAPTERS[stored["kind"]].validate_python(stored["values"])
    return event


def contact(stored: Any) -> str:
    """Return the customer's number of what `dump` wrote; "" if it has none, or nothing was written."""
    return str(stored["values"].get("contact", "")) if stored else ""
