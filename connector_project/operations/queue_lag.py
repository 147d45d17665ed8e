"""Queue lag: since when due live work has been unclaimed, in total and per client."""

from datetime import datetime
from typing import Any

from django.db.models import Min, Q, QuerySet

from crm.models import Command
from telephony.models import Call, Notification
from telephony.models.choices import CRM_STATES, UIS_STATES

UIS_IS_AWAY = Q(state__in=UIS_STATES, tenant__uis__consecutive_failures__gt=0)
CRM_IS_AWAY = Q(state__in=CRM_STATES, tenant__crm__consecutive_failures__gt=0)


def oldest_due_at(*, now: datetime) -> datetime | None:
    """Return when the oldest unclaimed work became due."""
    oldest = (rows.order_by(since).values_list(since, flat=True).first() for rows, since in _unclaimed(now))
    return min((moment for moment in oldest if moment), default=None)


def by_client(*, now: datetime) -> dict[int, datetime]:
    """Return the oldest due time per client, by primary key."""
    found: dict[int, datetime] = {}
    for rows, since in _unclaimed(now):
        for pk, moment in rows.order_by().values_list("tenant").annotate(Min(since)):
            found[pk] = min(moment, found.get(pk, moment))
    return found


def _unclaimed(now: datetime) -> tuple[tuple[QuerySet[Any], str], ...]:
    """Return unclaimed rows, and the field that says since when."""
    # Low-priority calls wait by design and must not raise an alert. Nor must calls of a vendor that is down, of
    # which one is tried from time to time.
    calls = Call.objects.due(now=now).filter(is_low_priority=False).exclude(UIS_IS_AWAY | CRM_IS_AWAY)
    # The sweep moves their `next_attempt_at` on, even if no worker takes them.
    notifications = Notification.objects.filter(next_attempt_at__isnull=False, attempts=0)
    commands = Command.objects.filter(next_attempt_at__lte=now)
    return (calls, "next_attempt_at"), (notifications, "received_at"), (commands, "next_attempt_at")
