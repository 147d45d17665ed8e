"""The templates clients type into UIS: what to copy, and what is wrong with the one a notification was made from."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

from telephony.uis import notifications
from telephony.uis.body import NotReadable, bare, is_unresolved, quoted, written
from telephony.uis.types import Event, Fault, Unreadable


class TemplateCode(StrEnum):
    """What can be wrong with a template. The words of types.Fault mean the same here."""

    EMPTY = "EMPTY"
    NOT_JSON = "NOT_JSON"
    NO_EVENT = "NO_EVENT"
    UNKNOWN_EVENT = "UNKNOWN_EVENT"
    NO_SESSION = "NO_SESSION"
    WRONG_EVENT = "WRONG_EVENT"
    QUOTED = "QUOTED"
    UNRESOLVED = "UNRESOLVED"
    MISSING = "MISSING"


@dataclass(frozen=True)
class TemplateFault:
    """One thing wrong with a template: the fields it is about, or the events that were named."""

    code: TemplateCode
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Title:
    """How UIS calls an event in its cabinet."""

    russian: str
    english: str


@dataclass(frozen=True)
class _Template:
    """The fields of one template in order, those it cannot do without, and those the others need to work well."""

    title: Title
    fields: str
    vital: str
    helpful: str = ""


# The fields are those that notifications.py reads, where a published template of the event has them; names of people
# are left out on purpose. What is needed, and why:
#   call_session_id        without it nobody knows which call is meant;
#   contact_phone_number   the card and the missed call are about this number, and the CRM takes no call without one;
#   employee_id            whose card opens; after an answer, whose card stays;
#   notification_time      tells a late ring from a fresh one, an early answer from a later one, when a call ended;
#   virtual_phone_number   the rules and the choice of the shop go by it;
#   talk_time_duration     an incoming call that ended without a talk is taken for a missed one;
#   direction              of the rest, tells a missed call from an outgoing one nobody took;
#   file_link              all that the notification of a recording is for.
# A line that came with null is not missing: UIS writes null for what it does not know of this very call.
_TEMPLATES: Mapping[Event, _Template] = {
    Event.WAITING: _Template(
        Title("Ожидание ответа", "Waiting for the answer"),
        "notification_time virtual_phone_number external_id contact_phone_number employee_id call_source "
        "call_session_id direction leg_id",
        vital="contact_phone_number employee_id",
        helpful="notification_time virtual_phone_number direction",
    ),
    Event.OUTGOING: _Template(
        Title("Исходящий звонок", "Outbound call"),
        "notification_time virtual_phone_number contact_phone_number employee_id call_session_id",
        vital="contact_phone_number employee_id",
        helpful="notification_time virtual_phone_number",
    ),
    Event.TALK_STARTED: _Template(
        Title("Начало разговора", "Talk started"),
        "notification_time virtual_phone_number external_id contact_phone_number employee_id call_source "
        "call_session_id direction leg_ids",
        vital="employee_id",
        helpful="notification_time",
    ),
    Event.CALL_END: _Template(
        Title("Завершение звонка", "Call finished"),
        "notification_time virtual_phone_number external_id contact_phone_number employee_id call_source direction "
        "is_lost call_session_id start_time talk_time_duration total_time_duration wait_time_duration",
        vital="contact_phone_number talk_time_duration",
        helpful="notification_time virtual_phone_number direction",
    ),
    Event.LOST_CALL: _Template(
        Title("Потерянный звонок", "Lost call"),
        "notification_time virtual_phone_number contact_phone_number call_session_id wait_time_duration employee_ids",
        vital="contact_phone_number",
        helpful="notification_time virtual_phone_number",
    ),
    Event.RECORDED: _Template(
        Title("Записанный разговор", "Call recording completed"),
        "notification_time virtual_phone_number contact_phone_number call_session_id employee_id file_link",
        vital="file_link",
    ),
}
EVENTS = tuple(_TEMPLATES)

# Another field that tells the same: notifications.py takes either.
_INSTEAD = {"notification_time": "notification_timestamp", "talk_time_duration": "is_lost"}
_SESSION = "call_session_id"
_UNREADABLE = frozenset(TemplateCode(fault.value) for fault in Fault)
_UTC = ZoneInfo("UTC")
# Anybody may write anything, and a person is to read the names.
_LONGEST_NAME = 60
_MOST_NAMES = 20
# Bounded: it is looked for in bodies of nothing but such beginnings.
_EVENT = re.compile(r"(?<!\w)event\W{1,12}([a-z_]{1,40})", re.IGNORECASE)


def title(event: Event) -> Title:
    """Return how UIS calls one of EVENTS."""
    return _TEMPLATES[event].title


def template(event: Event) -> str:
    """Return the body to copy into UIS. No quotes around macros: UIS brings them along."""
    lines = [f'  "event": "{event}"', *(f'  "{name}": {{{{{name}}}}}' for name in _TEMPLATES[event].fields.split())]
    return "{\n" + ",\n".join(lines) + "\n}"


def needed(event: Event) -> tuple[str, ...]:
    """Return the fields without which the connector cannot do its work well, the session first; why stands above."""
    wanted = _TEMPLATES[event]
    return (_SESSION, *wanted.vital.split(), *wanted.helpful.split())


def stops(fault: TemplateFault, event: Event) -> bool:
    """Say whether nothing can be made of what comes from a template of this event with this fault."""
    match fault.code:
        case TemplateCode.MISSING | TemplateCode.UNRESOLVED:
            return not {_SESSION, *_TEMPLATES[event].vital.split()}.isdisjoint(fault.names)
        case TemplateCode.WRONG_EVENT:
            # A word of the client's own does no harm; one of ours says that the end of a call may be told as its ring.
            return fault.names[-1] in set(Event)
        case code:
            return code in _UNREADABLE


def faults(event_in_path: str, query: str, body: str) -> list[TemplateFault]:
    """Return what is wrong with the template that one raw notification was made from. Never raises."""
    path, query, body = (_storable(text) for text in (event_in_path, query, body))
    said = notifications.read(query, body, event=path, zone=_UTC, is_russian=False)
    found = [_fault_of(said)] if isinstance(said, Unreadable) else []
    marks = _named(TemplateCode.QUOTED, quoted(body))
    try:
        fields = written(query, body)
    except NotReadable:
        return found + marks
    return [*found, *_wrong_event(path, fields), *marks, *_unresolved(fields), *_missing(path, fields)]


def event_of(event_in_path: str, query: str, body: str) -> str:
    """Return the event that a notification was meant to be, be it ever so broken; "" where nothing tells."""
    return next((word for word in _hints(event_in_path, query, body) if word in set(Event)), "")


def _hints(event_in_path: str, query: str, body: str) -> Iterator[str]:
    yield _plain(event_in_path)
    for text in (body, ""):
        try:
            yield _event_said(written(query, text))
        except NotReadable:
            continue
    yield from map(_plain, _EVENT.findall(body))


def _fault_of(said: Unreadable) -> TemplateFault:
    code = TemplateCode(said.fault.value)
    return TemplateFault(code, (said.detail,) if code == TemplateCode.UNKNOWN_EVENT else ())


def _wrong_event(path: str, fields: Mapping[str, object]) -> list[TemplateFault]:
    """Find that the address is that of one event and the body says another."""
    events = (_plain(path), _event_said(fields))
    is_wrong = events[0] in set(Event) and events[1] not in {"", events[0]}
    return _named(TemplateCode.WRONG_EVENT, events) if is_wrong else []


def _unresolved(fields: Mapping[str, object]) -> list[TemplateFault]:
    return _named(TemplateCode.UNRESOLVED, [name for name, raw in fields.items() if is_unresolved(name, raw)])


def _missing(path: str, fields: Mapping[str, object]) -> list[TemplateFault]:
    """Find the lines that are not there at all. Of the session NO_SESSION tells already."""
    event = _plain(path) or _event_said(fields)
    wanted = needed(Event(event))[1:] if event in _TEMPLATES else ()
    lacking = [name for name in wanted if name not in fields and _INSTEAD.get(name) not in fields]
    return _named(TemplateCode.MISSING, lacking)


def _event_said(fields: Mapping[str, object]) -> str:
    value = bare("event", fields.get("event"))
    return _plain(_storable(value)) if isinstance(value, str) else ""


def _named(code: TemplateCode, names: Iterable[str]) -> list[TemplateFault]:
    short = dict.fromkeys(_storable(name)[:_LONGEST_NAME] for name in names)
    return [TemplateFault(code, tuple(short)[:_MOST_NAMES])] if short else []


def _plain(word: str) -> str:
    return word.strip().lower()


def _storable(text: str) -> str:
    """Return a text without what no page and no database takes: NUL, and halves of characters."""
    return text.replace("\0", "").encode(errors="replace").decode()
