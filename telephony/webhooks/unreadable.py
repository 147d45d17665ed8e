"""Unreadable notifications, grouped by tenant, webhook URL and reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, QuerySet

from telephony.models import Notification
from telephony.uis import webhook_templates
from telephony.uis.types import Event
from telephony.uis.webhook_templates import TemplateFault
from tenants.models import Tenant

CLIENT, ADDRESS, REASON = "tenant", "event_in_url", "reason"
RECENT_PERIOD = timedelta(days=30)
MAX_GROUPS = 200
Key = tuple[int, str, str]


@dataclass(frozen=True, kw_only=True)
class UnreadableGroup:
    """Notifications from one broken template; the newest one shows what is wrong."""

    tenant: Tenant
    event_in_url: str
    reason: str
    count: int
    first_at: datetime
    last_at: datetime
    newest: Notification
    faults: Sequence[TemplateFault]

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
        return {CLIENT: str(self.tenant.pk), ADDRESS: self.event_in_url, REASON: self.reason}


def notifications(chosen: Mapping[str, str]) -> QuerySet[Notification]:
    """Return the unreadable notifications that match the filter, without those of disconnected tenants."""
    found = Notification.objects.filter(outcome=Notification.Outcome.UNREADABLE, tenant__offboarded_at=None)
    if client := chosen.get(CLIENT, ""):
        found = found.filter(tenant=int(client) if client.isdecimal() else 0)
    for name in (ADDRESS, REASON):
        if name in chosen:
            found = found.filter(**{name: chosen[name]})
    return found


def groups(*, now: datetime, client: str = "") -> list[UnreadableGroup]:
    """Return recent groups, newest first. Two queries for any number of groups."""
    found = notifications({CLIENT: client}).filter(received_at__gte=now - RECENT_PERIOD).order_by()
    counts = found.values_list(CLIENT, ADDRESS, REASON).annotate(
        Count("pk"), Min("received_at"), last_at=Max("received_at"), newest=Max("pk")
    )
    rows = list(counts.order_by("-last_at")[:MAX_GROUPS])
    newest = Notification.objects.select_related("tenant__uis").in_bulk([row[-1] for row in rows])
    return [_group(row, newest[row[-1]]) for row in rows]


def _group(row: tuple[int, str, str, int, datetime, datetime, int], newest: Notification) -> UnreadableGroup:
    _client, event_in_url, reason, count, first_at, last_at, _pk = row
    return UnreadableGroup(
        tenant=newest.tenant,
        event_in_url=event_in_url,
        reason=reason,
        count=count,
        first_at=first_at,
        last_at=last_at,
        newest=newest,
        faults=webhook_templates.faults(newest.event_in_url, newest.query, newest.body),
    )
