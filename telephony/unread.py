"""Unreadable notifications, grouped by tenant, webhook URL and reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, QuerySet

from telephony.models import Notification
from telephony.uis import templates
from telephony.uis.templates import TemplateFault
from telephony.uis.types import Event
from tenants.models import Tenant

CLIENT, ADDRESS, REASON = "tenant", "path_event", "reason"
LATELY = timedelta(days=30)
MOST_GROUPS = 200
Key = tuple[int, str, str]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Notifications from one broken template; the newest one shows what is wrong."""

    tenant: Tenant
    path_event: str
    reason: str
    count: int
    first_at: datetime
    last_at: datetime
    newest: Notification
    faults: Sequence[TemplateFault]

    @property
    def event(self) -> str:
        """The intended event; "" if unknown."""
        return templates.event_of(self.newest.path_event, self.newest.query, self.newest.body)

    @property
    def template(self) -> str:
        """The correct template; "" if the event is unknown."""
        return templates.template(Event(self.event)) if self.event in templates.EVENTS else ""

    @property
    def chosen(self) -> dict[str, str]:
        """The filter for this group."""
        return {CLIENT: str(self.tenant.pk), ADDRESS: self.path_event, REASON: self.reason}


def notifications(chosen: Mapping[str, str]) -> QuerySet[Notification]:
    """Return the unreadable notifications that match the filter, without those of disconnected tenants."""
    found = Notification.objects.filter(outcome=Notification.Outcome.UNREADABLE, tenant__left_at=None)
    if client := chosen.get(CLIENT, ""):
        found = found.filter(tenant=int(client) if client.isdecimal() else 0)
    for name in (ADDRESS, REASON):
        if name in chosen:
            found = found.filter(**{name: chosen[name]})
    return found


def groups(*, now: datetime, client: str = "") -> list[Group]:
    """Return recent groups, newest first. Two queries for any number of groups."""
    found = notifications({CLIENT: client}).filter(received_at__gte=now - LATELY).order_by()
    counts = found.values_list(CLIENT, ADDRESS, REASON).annotate(
        Count("pk"), Min("received_at"), last_at=Max("received_at"), newest=Max("pk")
    )
    rows = list(counts.order_by("-last_at")[:MOST_GROUPS])
    newest = Notification.objects.select_related("tenant__uis").in_bulk([row[-1] for row in rows])
    return [_group(row, newest[row[-1]]) for row in rows]


def _group(row: tuple[int, str, str, int, datetime, datetime, int], newest: Notification) -> Group:
    _client, path_event, reason, count, first_at, last_at, _pk = row
    return Group(
        tenant=newest.tenant,
        path_event=path_event,
        reason=reason,
        count=count,
        first_at=first_at,
        last_at=last_at,
        newest=newest,
        faults=templates.faults(newest.path_event, newest.query, newest.body),
    )
