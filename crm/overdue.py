"""Live work whose time has come and that nobody has taken: since when, for all clients together and for each."""

from datetime import datetime
from typing import Any

from django.db.models import Min, Q, QuerySet

from crm.models import Command
from telephony.models import Call, Notification
from telephony.models.words import OF_CRM, OF_UIS

UIS_IS_AWAY = Q(state__in=OF_UIS, tenant__uis__failures__gt=0)
CRM_IS_AWAY = Q(state__in=OF_CRM, tenant__crm__failures__gt=0)


def oldest(*, now: datetime) -> datetime | None:
    """Return since when the most overdue piece of work is due."""
    firsts = (rows.order_by("next_attempt_at").values_list("next_attempt_at", flat=True).first() for rows in _due(now))
    return min((moment for moment in firsts if moment), default=None)


def by_client(*, now: datetime) -> dict[int, datetime]:
    """Return the same for each client who has such work, by his key."""
    found: dict[int, datetime] = {}
    for rows in _due(now):
        for pk, moment in rows.order_by().values_list("tenant").annotate(Min("next_attempt_at")):
            found[pk] = min(moment, found.get(pk, moment))
    return found


def _due(now: datetime) -> tuple[QuerySet[Any], ...]:
    return (
        # Old calls found late wait by design: an alarm about them would be a false one. So do the calls of a vendor who
        # does not answer, of which one is tried now and then.
        Call.objects.due(now=now).filter(is_backlog=False).exclude(UIS_IS_AWAY | CRM_IS_AWAY),
        Notification.objects.filter(next_attempt_at__lte=now),
        Command.objects.filter(next_attempt_at__lte=now),
    )
