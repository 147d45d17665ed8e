"""The addresses that notifications come from. UIS signs nothing: who knows the webhook URL can send some."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Max

from telephony.models import Notification
from tenants.models import Tenant, UisConnection

LEARNED_FROM = 5000  # the newest notifications of a tenant
MOST_SHOWN = 20


@dataclass(frozen=True)
class Source:
    """An address, and what came from it of late."""

    address: str
    count: int
    last_at: datetime
    is_expected: bool


def is_expected(stored: Notification) -> bool:
    """Return whether a notification came from one of the tenant's expected addresses, if they are listed."""
    return bool(stored.tenant.uis.expects(stored.source))


def disregard(stored: Notification, *, now: datetime) -> None:
    """Close a notification from an unexpected address, without saving it: it is no evidence, and opens no pop-up.

    Its key stays free, so that UIS's own notification of this event is no repeat. A call that really took place is
    found in UIS's report, by reconciliation.
    """
    stored.parsed_event = None
    stored.close(Notification.Outcome.DROPPED, Notification.Reason.UNKNOWN_SOURCE, stored.source)
    UisConnection.objects.filter(tenant=stored.tenant_id).update(
        unexpected_webhooks=F("unexpected_webhooks") + 1, unexpected_source=stored.source, unexpected_at=now
    )


def learned(tenant: Tenant) -> list[Source]:
    """Return where the newest notifications came from, the most frequent address first. One query."""
    newest = Notification.objects.filter(tenant=tenant).exclude(source="").order_by("-received_at")[:LEARNED_FROM]
    counts = Notification.objects.filter(pk__in=newest.values("pk")).order_by().values_list("source")
    rows = counts.annotate(count=Count("pk"), last_at=Max("received_at")).order_by("-count", "source")[:MOST_SHOWN]
    return [Source(address, count, at, tenant.uis.expects(address)) for address, count, at in rows]
