"""Queue lag: since when due live work has been unclaimed, in total and per client."""

import functools
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, Min, Q, QuerySet, Value, When

from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.placeholders import Placeholders
from crm.models import Command
from telephony.models import Call, FailureReason, Notification
from telephony.models.choices import CRM_STATES, UIS_STATES

UIS_IS_AWAY = Q(state__in=UIS_STATES, tenant__uis__consecutive_failures__gt=0)
CRM_IS_AWAY = Q(state__in=CRM_STATES, tenant__crm__consecutive_failures__gt=0)
# What a call waits for: an unavailable vendor (for this call or for one just before), or UIS API points.
_AWAY = Case(
    When(Q(reason=FailureReason.UIS_UNAVAILABLE) | UIS_IS_AWAY, then=Value(FailureReason.UIS_UNAVAILABLE)),
    When(reason=FailureReason.UIS_QUOTA, then=Value(FailureReason.UIS_QUOTA)),
    When(Q(reason=FailureReason.CRM_UNAVAILABLE) | CRM_IS_AWAY, then=Value(FailureReason.CRM_UNAVAILABLE)),
)


def oldest_due_at(*, now: datetime) -> datetime | None:
    """Return when the oldest unclaimed work became due."""
    oldest = (rows.order_by(since).values_list(since, flat=True).first() for rows, since in _unclaimed(now))
    return min((moment for moment in oldest if moment), default=None)


def by_client(*, now: datetime) -> dict[int, datetime]:
    """Return the oldest due time per client, by primary key."""
    found: dict[int, datetime] = {}
    for query in _BY_CLIENT:
        for pk, moment in query.fetch(now=now):
            found[pk] = min(moment, found.get(pk, moment))
    return found


def waiting_for_vendors() -> list[tuple[int, str, datetime, int]]:
    """Return by client and reason since when calls wait for a vendor, and how many."""
    return _WAITING.fetch()


def _unclaimed(now: Any) -> tuple[tuple[QuerySet[Any], str], ...]:
    """Return unclaimed rows, and the field that says since when; also for a placeholder."""
    # Low-priority calls wait by design and must not raise an alert. Nor must calls of a vendor that is down, of
    # which one is tried from time to time.
    calls = Call.objects.due(now=now).filter(is_low_priority=False).exclude(UIS_IS_AWAY | CRM_IS_AWAY)
    # The sweep moves their `next_attempt_at` on, even if no worker takes them.
    notifications = Notification.objects.filter(next_attempt_at__isnull=False, attempts=0)
    commands = Command.objects.filter(next_attempt_at__lte=now)
    return (calls, "next_attempt_at"), (notifications, "received_at"), (commands, "next_attempt_at")


def _by_client(kind: int, given: Placeholders) -> Any:
    rows, since = _unclaimed(given.moment("now"))[kind]
    return rows.order_by().values_list("tenant").annotate(Min(since))


_BY_CLIENT: tuple[CompiledSelect[tuple[int, datetime]], ...] = tuple(
    CompiledSelect(functools.partial(_by_client, kind)) for kind in range(3)
)


def _waiting(_given: Placeholders) -> Any:
    calls = Call.objects.filter(next_attempt_at__isnull=False, failed_at=None, is_low_priority=False).order_by()
    waiting = calls.annotate(away=_AWAY).filter(away__isnull=False).values_list("tenant", "away")
    return waiting.annotate(Min("retry_window_started_at"), Count("pk"))


_WAITING: CompiledSelect[tuple[int, str, datetime, int]] = CompiledSelect(_waiting)
