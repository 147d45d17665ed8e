"""Unreadable notifications, grouped by tenant, webhook URL and reason."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from django import forms
from django.db.models import Count, Max, Min, Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter

from telephony.models import Notification
from telephony.uis import webhook_templates
from telephony.uis.types import Event
from telephony.uis.webhook_templates import TemplateFault
from telephony.webhooks import status
from tenants.visibility import Reader, visible_to
from tenants.visible_filters import ReaderFilterSet, TenantChoiceFilter

WITHOUT_EVENT = {Notification.Reason.NO_EVENT, Notification.Reason.UNKNOWN_EVENT}
NO_EVENT_IN_URL = "/"  # in filters; no event in a URL contains a slash
RECENT_PERIOD = timedelta(days=30)
MAX_GROUPS = 200
SHORTEST_OWN_ID = 10**6  # a session of as many digits is no duration, code or other small number


@dataclass(frozen=True)
class UnreadableGroup:
    """Notifications from one broken template; the newest one shows what is wrong."""

    newest: Notification
    count: int
    first_at: datetime
    last_at: datetime

    @cached_property
    def faults(self) -> Sequence[TemplateFault]:
        return webhook_templates.faults(self.newest.event_in_url, self.newest.query, self.newest.body)

    @property
    def event(self) -> str:
        """The intended event; "" if unknown."""
        return webhook_templates.event_of(self.newest.event_in_url, self.newest.query, self.newest.body)

    @property
    def template(self) -> str:
        """The correct template; "" if the event is unknown."""
        return webhook_templates.template(Event(self.event)) if self.event in webhook_templates.EVENTS else ""

    @property
    def filters(self) -> dict[str, str]:
        """The filter for this group."""
        event = self.newest.event_in_url or NO_EVENT_IN_URL
        return {"tenant": str(self.newest.tenant_id), "event_in_url": event, "reason": self.newest.reason}


def names(stored: Notification, session_id: int) -> bool:
    """Return whether the text of a notification names a session, however it is cut or garbled.

    A short number may be anything: it counts only as the value of its field.
    """
    before = r"(?<!\d)" if session_id >= SHORTEST_OWN_ID else r"call_session_id\W{1,20}"
    return (
        re.search(rf"{before}{re.escape(str(session_id))}(?!\d)", f"{stored.query} {stored.body}", re.ASCII) is not None
    )


def naming(tenant_id: int, session_id: int, *, now: datetime) -> list[Notification]:
    """Return the newest unreadable notifications of a tenant that name a session. One query."""
    recent = Notification.objects.filter(tenant=tenant_id, received_at__gte=now - RECENT_PERIOD)
    found = recent.filter(contains(session_id), outcome=Notification.Outcome.UNREADABLE).order_by("-received_at", "-pk")
    return [stored for stored in found[:MAX_GROUPS] if names(stored, session_id)]


def contains(session_id: int) -> Q:
    """Return the condition that a text has the digits of a session, to be checked by `names`."""
    return Q(body__contains=str(session_id)) | Q(query__contains=str(session_id))


def _events_in_url() -> list[tuple[str, str]]:
    return [(NO_EVENT_IN_URL, ""), *status.event_choices()]


class UnreadableFilterSet(ReaderFilterSet):
    tenant = TenantChoiceFilter(label=_("Client"))
    event_in_url = CharFilter(
        label=_("Event"),
        widget=forms.Select(choices=_events_in_url),  # type: ignore[arg-type]  # django-stubs knows no callables
        method=lambda rows, _name, event: rows.filter(event_in_url="" if event == NO_EVENT_IN_URL else event),
    )
    # Not a condition of its own: the event of notifications that state none.
    event = ChoiceFilter(
        label=_("Event"),
        choices=status.event_choices,
        method=lambda rows, _name, _event: rows.filter(reason__in=WITHOUT_EVENT),
    )
    reason = ChoiceFilter(label=_("Reason"), choices=Notification.Reason.choices)


def notifications(reader: Reader) -> QuerySet[Notification]:
    """Return the unreadable notifications that a reader may see.

    Without those of disconnected tenants, and those whose text is purged.
    """
    unread = Notification.objects.filter(outcome=Notification.Outcome.UNREADABLE, tenant__offboarded_at=None)
    return visible_to(unread.exclude(~Q(reason=Notification.Reason.EMPTY), query="", body=""), reader)


def groups(*, reader: Reader = None, now: datetime, client: str = "") -> list[UnreadableGroup]:
    """Return recent groups, newest first. The number of queries does not depend on that of groups."""
    recent = notifications(reader).filter(received_at__gte=now - RECENT_PERIOD).order_by()
    found = UnreadableFilterSet({"tenant": client} if client else {}, recent, reader=reader).qs
    counts = found.values("tenant", "event_in_url", "reason").annotate(
        newest=Max("pk"), count=Count("pk"), first_at=Min("received_at"), last_at=Max("received_at")
    )
    rows = list(counts.order_by("-last_at").values_list("newest", "count", "first_at", "last_at")[:MAX_GROUPS])
    newest = Notification.objects.select_related("tenant__uis").in_bulk([pk for pk, *_counted in rows])
    return [UnreadableGroup(newest[pk], *counted) for pk, *counted in rows]
