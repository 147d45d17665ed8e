"""Webhook templates for clients to copy into UIS, and validation of the template behind a received notification."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

from telephony.uis import webhooks
from telephony.uis.payload import PayloadError, clean_value, is_unresolved, quoted, raw_fields
from telephony.uis.types import Event, ParseError, Unreadable


class TemplateCode(StrEnum):
    """What can be wrong with a template. The codes of types.ParseError mean the same here."""

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
    """One error of a template; `names` are the fields concerned, or the events given."""

    code: TemplateCode
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Title:
    """The name of an event in UIS's web interface."""

    russian: str
    english: str


@dataclass(frozen=True)
class _Template:
    """The fields of one template in order: all, the required ones and the recommended ones."""

    title: Title
    fields: str
    required: str
    recommended: str = ""


# The fields are those that webhooks.py reads, where a published template of the event has them; names of people
# are left out on purpose. Why each required or recommended field is needed:
#   call_session_id        identifies the call;
#   contact_phone_number   the pop-up and the missed call are about this number; the CRM accepts no call without it;
#   employee_id            who gets the pop-up, and who keeps it after an answer;
#   notification_time      detects late ringing, orders the answers, gives the end of the call;
#   virtual_phone_number   the rules and the choice of the store depend on it;
#   talk_time_duration     an incoming call that ended without a talk counts as missed;
#   direction              distinguishes a missed call from an unanswered outgoing one;
#   file_link              the purpose of the recording notification.
# The last ones of an event are read by attribution.py: where the call came from.
# A field sent as null is not missing: UIS sends null for what it does not know about this call.
_TEMPLATES: Mapping[Event, _Template] = {
    Event.WAITING: _Template(
        Title("Ожидание ответа", "Waiting for the answer"),
        "notification_time virtual_phone_number external_id contact_phone_number employee_id call_source "
        "call_session_id direction leg_id",
        required="contact_phone_number employee_id",
        recommended="notification_time virtual_phone_number direction",
    ),
    Event.OUTGOING: _Template(
        Title("Исходящий звонок", "Outbound call"),
        "notification_time virtual_phone_number contact_phone_number employee_id call_session_id",
        required="contact_phone_number employee_id",
        recommended="notification_time virtual_phone_number",
    ),
    Event.TALK_STARTED: _Template(
        Title("Начало разговора", "Talk started"),
        "notification_time virtual_phone_number external_id contact_phone_number employee_id call_source "
        "call_session_id direction leg_ids",
        required="employee_id",
        recommended="notification_time",
    ),
    Event.CALL_END: _Template(
        Title("Завершение звонка", "Call finished"),
        "notification_time virtual_phone_number external_id contact_phone_number employee_id call_source direction "
        "is_lost call_session_id start_time talk_time_duration total_time_duration wait_time_duration scenario_name "
        "tag_names cpn_region_name",
        required="contact_phone_number talk_time_duration",
        recommended="notification_time virtual_phone_number direction",
    ),
    Event.LOST_CALL: _Template(
        Title("Потерянный звонок", "Lost call"),
        "notification_time virtual_phone_number contact_phone_number call_session_id scenario_name wait_time_duration "
        "employee_ids",
        required="contact_phone_number",
        recommended="notification_time virtual_phone_number",
    ),
    Event.RECORDED: _Template(
        Title("Записанный разговор", "Call recording completed"),
        "notification_time virtual_phone_number contact_phone_number call_session_id employee_id file_link tag_names",
        required="file_link",
    ),
}
EVENTS = tuple(_TEMPLATES)

# A field that can replace another: webhooks.py accepts either.
_ALTERNATIVES = {"notification_time": "notification_timestamp", "talk_time_duration": "is_lost"}
_SESSION = "call_session_id"
_UNREADABLE = frozenset(TemplateCode(fault.value) for fault in ParseError)
_UTC = ZoneInfo("UTC")
# The names come from outside and are shown to people: limit their number and length.
_LONGEST_NAME = 60
_MOST_NAMES = 20
# Bounded: a body made of openings only must not take quadratic time.
_EVENT = re.compile(r"(?<!\w)event\W{1,12}([a-z_]{1,40})", re.IGNORECASE)


def title(event: Event) -> Title:
    return _TEMPLATES[event].title


def template(event: Event) -> str:
    """Return the body to copy into UIS. No quotes around macros: UIS adds them."""
    lines = [f'  "event": "{event}"', *(f'  "{name}": {{{{{name}}}}}' for name in _TEMPLATES[event].fields.split())]
    return "{\n" + ",\n".join(lines) + "\n}"


def needed(event: Event) -> tuple[str, ...]:
    """Return the required and recommended fields, the session first."""
    expected = _TEMPLATES[event]
    return (_SESSION, *expected.required.split(), *expected.recommended.split())


def is_fatal(fault: TemplateFault, event: Event) -> bool:
    """Return whether notifications of this event are unusable with this template error."""
    match fault.code:
        case TemplateCode.MISSING | TemplateCode.UNRESOLVED:
            return not {_SESSION, *_TEMPLATES[event].required.split()}.isdisjoint(fault.names)
        case TemplateCode.WRONG_EVENT:
            # An unknown event name is harmless; a known one could turn the end of a call into its ringing.
            return fault.names[-1] in set(Event)
        case code:
            return code in _UNREADABLE


def faults(event_in_path: str, query: str, body: str) -> list[TemplateFault]:
    """Return the errors of the template behind one raw notification. Never raises."""
    path, query, body = (_storable(text) for text in (event_in_path, query, body))
    parsed = webhooks.parse(query, body, event=path, zone=_UTC, region="")
    found = [_fault_of(parsed)] if isinstance(parsed, Unreadable) else []
    quotes = _named(TemplateCode.QUOTED, quoted(body))
    try:
        fields = raw_fields(query, body)
    except PayloadError:
        return found + quotes
    return [*found, *_wrong_event(path, fields), *quotes, *_unresolved(fields), *_missing(path, fields)]


def event_of(event_in_path: str, query: str, body: str) -> str:
    """Return the event a notification was meant for, even if it is unreadable; "" if unknown."""
    return next((word for word in _candidate_events(event_in_path, query, body) if word in set(Event)), "")


def _candidate_events(event_in_path: str, query: str, body: str) -> Iterator[str]:
    yield _normalized(event_in_path)
    for text in (body, ""):
        try:
            yield _event_in_body(raw_fields(query, text))
        except PayloadError:
            continue
    yield from map(_normalized, _EVENT.findall(body))


def _fault_of(unreadable: Unreadable) -> TemplateFault:
    code = TemplateCode(unreadable.error.value)
    return TemplateFault(code, (unreadable.detail,) if code == TemplateCode.UNKNOWN_EVENT else ())


def _wrong_event(path: str, fields: Mapping[str, object]) -> list[TemplateFault]:
    """Detect that the URL is for one event and the body for another."""
    events = (_normalized(path), _event_in_body(fields))
    is_wrong = events[0] in set(Event) and events[1] not in {"", events[0]}
    return _named(TemplateCode.WRONG_EVENT, events) if is_wrong else []


def _unresolved(fields: Mapping[str, object]) -> list[TemplateFault]:
    return _named(TemplateCode.UNRESOLVED, [name for name, raw in fields.items() if is_unresolved(name, raw)])


def _missing(path: str, fields: Mapping[str, object]) -> list[TemplateFault]:
    """Find the fields that are not sent at all, except the session: NO_SESSION already reports it."""
    event = _normalized(path) or _event_in_body(fields)
    expected = needed(Event(event))[1:] if event in _TEMPLATES else ()
    absent = [name for name in expected if name not in fields and _ALTERNATIVES.get(name) not in fields]
    return _named(TemplateCode.MISSING, absent)


def _event_in_body(fields: Mapping[str, object]) -> str:
    value = clean_value("event", fields.get("event"))
    return _normalized(_storable(value)) if isinstance(value, str) else ""


def _named(code: TemplateCode, names: Iterable[str]) -> list[TemplateFault]:
    short = dict.fromkeys(_storable(name)[:_LONGEST_NAME] for name in names)
    return [TemplateFault(code, tuple(short)[:_MOST_NAMES])] if short else []


def _normalized(name: str) -> str:
    return name.strip().lower()


def _storable(text: str) -> str:
    """Return a text without what pages and PostgreSQL reject: NUL and lone surrogates."""
    return text.replace("\0", "").encode(errors="replace").decode()
