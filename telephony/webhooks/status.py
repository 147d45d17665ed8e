"""Webhook status by event: which events arrive, which template is broken, and how to fix it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db.models import QuerySet, Subquery
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from telephony.models import Notification
from telephony.uis import webhook_templates
from telephony.uis.types import Event
from telephony.uis.webhook_templates import EVENTS, TemplateCode, TemplateFault
from tenants.models import Tenant, UisConnection

RECENT_PERIOD = timedelta(days=7)
UNREADABLE_LIMIT = 50
# By the code of the fault; %(names)s are the names in the fault, separated by commas.
SENTENCES: Mapping[str, str | Promise] = {
    TemplateCode.EMPTY: _("The body is empty: choose the method POST and copy the template into the body."),
    TemplateCode.NOT_JSON: _("The body cannot be read: clear it and copy the whole template again."),
    TemplateCode.NO_EVENT: _("The event is missing: copy the address and the template again."),
    TemplateCode.UNKNOWN_EVENT: _("There is no event “%(names)s”: copy the address and the template again."),
    TemplateCode.NO_SESSION: _("The call ID is missing: copy the template again, with the line “call_session_id”."),
    TemplateCode.WRONG_EVENT: _(
        "The address and the body belong to different events (%(names)s): copy both again, for one event."
    ),
    TemplateCode.QUOTED: _("Remove the quotes around the macros (%(names)s): UIS adds them itself."),
    TemplateCode.UNRESOLVED: _(
        "UIS leaves %(names)s empty: copy these lines from the template again and delete lines that it does not have."
    ),
    TemplateCode.MISSING: _("The body lacks these lines: %(names)s. Copy the template again."),
}
# Events without a template that UIS may send.
_OTHER_EVENTS: Mapping[str, str | Promise] = {
    Event.INCOMING: _("Incoming call"),
    Event.TALK_FINISHED: _("Talk finished"),
}


class State(StrEnum):
    """The status of one event."""

    OK = "OK"
    WARNING = "WARNING"  # works, but the template has a fault
    BROKEN = "BROKEN"  # arrives, but is unusable
    NOT_SEEN = "NOT_SEEN"  # not seen recently
    # Still comes to the old webhook URL, which expires soon; or it last came to one that was revoked.
    OLD_ADDRESS = "OLD_ADDRESS"


@dataclass(frozen=True, kw_only=True)
class EventStatus:
    """The status of one event, by its newest notification."""

    event: Event
    state: State
    seen_at: datetime | None = None
    faults: tuple[TemplateFault, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UnidentifiedWebhook:
    """The newest notification that names no event."""

    seen_at: datetime
    faults: tuple[TemplateFault, ...]


@dataclass(frozen=True, kw_only=True)
class WebhookStatus:
    """The status of all events of a tenant, from recent notifications."""

    events: list[EventStatus]
    unidentified: UnidentifiedWebhook | None


def webhook_status(tenant: Tenant, *, now: datetime) -> WebhookStatus:
    """Check the newest notification of each event: the first one from a repaired template clears the fault."""
    newest: dict[str, Notification] = {}
    for stored in _newest_first(tenant, since=now - RECENT_PERIOD):
        newest.setdefault(stored.event or webhook_templates.event_of(*_raw(stored)), stored)
    statuses = [_event_status(event, newest.get(event), tenant.uis, now=now) for event in EVENTS]
    return WebhookStatus(events=statuses, unidentified=_unidentified(newest.get("")))


def name(event: Event) -> str:
    """Return UIS's name of the event in the active language."""
    title = webhook_templates.title(event)
    return title.russian if (get_language() or "").startswith("ru") else title.english


def event_label(word: str) -> str:
    """Return the name of an event code in the active language; an unknown code is returned as it is."""
    if word in EVENTS:
        return name(Event(word))
    return str(_OTHER_EVENTS.get(word, word))


def event_choices() -> list[tuple[str, str]]:
    """Return every event with its name in the active language."""
    return [(event.value, event_label(event)) for event in Event]


def fault_message(fault: TemplateFault) -> str:
    """Return the fault and its fix as a sentence in the active language."""
    return str(SENTENCES[fault.code]) % {"names": ", ".join(fault.names)}


def _newest_first(tenant: Tenant, *, since: datetime) -> list[Notification]:
    """Return the newest readable notification of each event, and some without an event. Two queries."""
    recent = Notification.objects.filter(tenant=tenant, received_at__gte=since).order_by("-received_at", "-pk")
    readable = Notification.objects.filter(pk__in=[_newest_pk(recent, event) for event in EVENTS])
    # Rows that are not processed yet have no event either.
    nameless = recent.filter(event="")[:UNREADABLE_LIMIT]
    return sorted([*readable, *nameless], key=lambda stored: (stored.received_at, stored.pk), reverse=True)


def _newest_pk(recent: QuerySet[Notification], event: Event) -> Subquery:
    return Subquery(recent.filter(event=event).values("pk")[:1])


def _raw(stored: Notification) -> tuple[str, str, str]:
    return stored.event_in_url, stored.query, stored.body


def _event_status(event: Event, stored: Notification | None, uis: UisConnection, *, now: datetime) -> EventStatus:
    if stored is None:
        return EventStatus(event=event, state=State.NOT_SEEN)
    found = () if stored.has_no_text else tuple(webhook_templates.faults(*_raw(stored)))
    is_revoked = uis.hook_revoked_at is not None and stored.received_at <= uis.hook_revoked_at
    is_old = is_revoked or (stored.via_old_hook and uis.is_rotating(now=now))
    state = State.OLD_ADDRESS if is_old else State.WARNING if found else State.OK
    if any(webhook_templates.is_fatal(fault, event) for fault in found):
        state = State.BROKEN
    return EventStatus(event=event, state=state, seen_at=stored.received_at, faults=found)


def _unidentified(stored: Notification | None) -> UnidentifiedWebhook | None:
    if stored is None:
        return None
    return UnidentifiedWebhook(seen_at=stored.received_at, faults=tuple(webhook_templates.faults(*_raw(stored))))
