"""The lamps of a client's page: which events arrive, which template is broken, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db.models import QuerySet, Subquery
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from telephony.models import Notification
from telephony.uis import templates
from telephony.uis.templates import EVENTS, TemplateCode, TemplateFault
from telephony.uis.types import Event
from tenants.models import Tenant

LATELY = timedelta(days=7)
UNREADABLE_LOOKED_AT = 50
# By the code of the fault; every %(names)s is what the fault names, separated by commas.
SENTENCES: Mapping[str, str | Promise] = {
    TemplateCode.EMPTY: _("The body came empty: choose the method POST and copy the template into the body."),
    TemplateCode.NOT_JSON: _("The body cannot be read: clear it and copy the whole template again."),
    TemplateCode.NO_EVENT: _("Nothing says which event this is: copy the address and the template again."),
    TemplateCode.UNKNOWN_EVENT: _("There is no event “%(names)s”: copy the address and the template again."),
    TemplateCode.NO_SESSION: _(
        "The body does not say which call it is about: copy the template again, with the line “call_session_id”."
    ),
    TemplateCode.WRONG_EVENT: _(
        "The address and the body belong to different events (%(names)s): copy both again, for one event."
    ),
    TemplateCode.QUOTED: _("Remove the quotes around the macros (%(names)s): UIS adds them itself."),
    TemplateCode.UNRESOLVED: _(
        "UIS fills in nothing for %(names)s: copy these lines from the template again, delete those it does not have."
    ),
    TemplateCode.MISSING: _("The body lacks these lines: %(names)s. Copy the template again."),
}
# Those no client sets up, but UIS may send.
_OTHER_EVENTS: Mapping[str, str | Promise] = {
    Event.INCOMING: _("Incoming call"),
    Event.TALK_FINISHED: _("Talk finished"),
}


class State(StrEnum):
    """What a lamp shows."""

    GREEN = "GREEN"
    YELLOW = "YELLOW"  # it works, but the template has a fault
    RED = "RED"  # it arrives, but nothing can be made of it
    OFF = "OFF"  # not seen lately
    OLD = "OLD"  # it still comes to the address before the present one, which is not heard for long


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """How one event stands, by the newest notification of it."""

    event: Event
    state: State
    seen_at: datetime | None = None
    faults: tuple[TemplateFault, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """The newest notification that tells no event at all."""

    seen_at: datetime
    faults: tuple[TemplateFault, ...]


@dataclass(frozen=True, kw_only=True)
class Board:
    """All that a client's notifications of late tell about his templates."""

    lamps: list[Lamp]
    stranger: Stranger | None


def look(tenant: Tenant, *, now: datetime) -> Board:
    """Look at the newest notification of each event: a repaired template lights its lamp with the first one."""
    newest: dict[str, Notification] = {}
    for stored in _newest_first(tenant, since=now - LATELY):
        newest.setdefault(stored.event or templates.event_of(*_raw(stored)), stored)
    is_rotating = tenant.uis.is_rotating(now=now)
    lit = [_lamp(event, newest.get(event), is_rotating=is_rotating) for event in EVENTS]
    return Board(lamps=lit, stranger=_stranger(newest.get("")))


def name(event: Event) -> str:
    """Return how UIS calls the event, in the language that is active."""
    title = templates.title(event)
    return title.russian if (get_language() or "").startswith("ru") else title.english


def event_word(word: str) -> str:
    """Return the name of what a notification calls its event; a word we do not know as it is."""
    if word in EVENTS:
        return name(Event(word))
    return str(_OTHER_EVENTS.get(word, word))


def says(fault: TemplateFault) -> str:
    """Return the sentence that names a fault and what to do, in the language that is active."""
    return str(SENTENCES[fault.code]) % {"names": ", ".join(fault.names)}


def _newest_first(tenant: Tenant, *, since: datetime) -> list[Notification]:
    """Return the newest readable notification of each event, and some of those that name none, in two queries."""
    lately = Notification.objects.filter(tenant=tenant, received_at__gte=since).order_by("-received_at", "-pk")
    readable = Notification.objects.filter(pk__in=[_newest_pk(lately, event) for event in EVENTS])
    # A row that is not decided yet names no event either.
    nameless = lately.filter(event="")[:UNREADABLE_LOOKED_AT]
    return sorted([*readable, *nameless], key=lambda stored: (stored.received_at, stored.pk), reverse=True)


def _newest_pk(lately: QuerySet[Notification], event: Event) -> Subquery:
    return Subquery(lately.filter(event=event).values("pk")[:1])


def _raw(stored: Notification) -> tuple[str, str, str]:
    return stored.path_event, stored.query, stored.body


def _lamp(event: Event, stored: Notification | None, *, is_rotating: bool) -> Lamp:
    if stored is None:
        return Lamp(event=event, state=State.OFF)
    found = tuple(templates.faults(*_raw(stored)))
    state = State.YELLOW if found else State.OLD if is_rotating and stored.is_old_address else State.GREEN
    if any(templates.stops(fault, event) for fault in found):
        state = State.RED
    return Lamp(event=event, state=state, seen_at=stored.received_at, faults=found)


def _stranger(stored: Notification | None) -> Stranger | None:
    if stored is None:
        return None
    return Stranger(seen_at=stored.received_at, faults=tuple(templates.faults(*_raw(stored))))
