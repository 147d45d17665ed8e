"""The snapshot that the alert rules evaluate: a fixed number of queries, whatever the number of clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum, Value, When

from connector_project import workers
from connector_project.queue import Queue
from crm import overdue
from crm.alarms.silence import Habit
from crm.models import Incident
from telephony.models import Call, Cause, LedgerDay, Notification
from tenants.hours import Work
from tenants.models import Tenant

LATELY, A_WHILE, A_DAY = timedelta(hours=2), timedelta(hours=6), timedelta(days=1)
# What a call waits for: an unavailable vendor (for this call or for one just before), or UIS API points.
AWAY = Case(
    When(Q(cause=Cause.UIS_UNAVAILABLE) | overdue.UIS_IS_AWAY, then=Value(Cause.UIS_UNAVAILABLE.value)),
    When(cause=Cause.UIS_POINTS, then=Value(Cause.UIS_POINTS.value)),
    When(Q(cause=Cause.CRM_UNAVAILABLE) | overdue.CRM_IS_AWAY, then=Value(Cause.CRM_UNAVAILABLE.value)),
)


@dataclass(frozen=True)
class Denied:
    side: str
    code: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Client:
    pk: int
    zone: ZoneInfo
    work: Work
    activated_at: datetime
    heard_at: datetime | None = None
    untold: int = 0  # calls in UIS's report since then
    silence: Mapping[str, Any] | None = None  # the context of an unresolved "no events" incident
    habit: Habit | None = None
    denied: Sequence[Denied] = ()


@dataclass(frozen=True)
class Waiting:
    """Calls of one client that wait for a vendor that is unavailable or out of quota."""

    tenant_id: int
    cause: str
    count: int
    since: datetime


@dataclass(frozen=True)
class Failed:
    """Calls of one client that failed for one reason, in each of the two periods."""

    tenant_id: int
    cause: str
    lately: int
    in_a_day: int


@dataclass(frozen=True)
class Begun:
    """Calls of one client that no rule skipped, in each of the two periods."""

    lately: int = 0
    in_a_day: int = 0


@dataclass(frozen=True)
class Unexplained:
    """Calls of one client that reconciliation cannot explain."""

    tenant_id: int
    count: int
    first: date
    last: date


@dataclass(frozen=True, kw_only=True)
class Facts:
    now: datetime
    clients: Sequence[Client] = ()
    heard_at: datetime | None = None  # of any client, paused ones included
    overdue: Mapping[int, datetime] = field(default_factory=dict)
    waiting: Sequence[Waiting] = ()
    failed: Sequence[Failed] = ()
    begun: Mapping[int, Begun] = field(default_factory=dict)
    unexplained: Sequence[Unexplained] = ()
    unserved: Mapping[Queue, datetime | None] = field(default_factory=dict)


def gather(*, now: datetime) -> Facts:
    failed = _failed(now)
    return Facts(
        now=now,
        clients=_clients(now),
        heard_at=Notification.objects.order_by("-received_at").values_list("received_at", flat=True).first(),
        overdue=overdue.by_client(now=now),
        waiting=_waiting(),
        failed=failed,
        begun=_call_totals({one.tenant_id for one in failed}, now),
        unexplained=_unexplained(),
        unserved=workers.missing(now=now),
    )


def live() -> QuerySet[Tenant]:
    """Return the clients that incidents can be about: activated, not paused, not disconnected."""
    return Tenant.objects.filter(activated_at__isnull=False, is_paused=False, left_at=None)


def _clients(now: datetime) -> list[Client]:
    newest = Notification.objects.filter(tenant=OuterRef("pk")).order_by("-received_at").values("received_at")[:1]
    untold, open_no_events = _unreported_calls(now), _open_no_events()
    # Only these columns, so that no access key is decrypted.
    rows = (
        live()
        .order_by("pk")
        .values(
            *("pk", "time_zone", "works_from", "works_till", "works_weekends", "activated_at"),
            *("rhythm__hours", "rhythm__weeks"),
            *("uis__denied_at", "uis__denied_code", "crm__denied_at", "crm__denied_code"),
            heard_at=Subquery(newest),
        )
    )
    return [_client(row, untold=untold.get(row["pk"], 0), silence=open_no_events.get(row["pk"])) for row in rows]


def _client(row: Mapping[str, Any], *, untold: int, silence: Mapping[str, Any] | None) -> Client:
    return Client(
        pk=row["pk"],
        zone=ZoneInfo(row["time_zone"]),
        work=Work(row["works_from"], row["works_till"], row["works_weekends"]),
        activated_at=row["activated_at"],
        heard_at=row["heard_at"],
        untold=untold,
        silence=silence,
        habit=Habit(row["rhythm__hours"], row["rhythm__weeks"]) if row["rhythm__weeks"] else None,
        denied=[
            Denied(side, row[f"{side}__denied_code"], row[f"{side}__denied_at"])
            for side in ("uis", "crm")
            if row[f"{side}__denied_at"]
        ],
    )


def _open_no_events() -> dict[int, Mapping[str, Any]]:
    """Return the context of unresolved "no events" incidents, by client."""
    incidents = Incident.objects.filter(kind=Incident.Kind.SILENCE, tenant__isnull=False)
    return dict(incidents.exclude(state=Incident.State.RESOLVED).order_by().values_list("tenant", "about"))


def _unreported_calls(now: datetime) -> dict[int, int]:
    """Count the calls known only from UIS's report that no notification has followed."""
    later = Notification.objects.filter(tenant=OuterRef("tenant"), received_at__gte=OuterRef("started_at"))
    found = Call.objects.filter(
        ~Exists(later),
        origin=Call.Origin.REPORT,
        is_internal=False,
        started_at__gte=now - A_WHILE,
        tenant__activated_at__lte=F("started_at"),
    )
    return dict(found.order_by().values_list("tenant").annotate(Count("pk")))


def _waiting() -> list[Waiting]:
    waiting = Call.objects.filter(next_attempt_at__isnull=False, stopped_at=None, is_backlog=False).order_by()
    away = waiting.annotate(away=AWAY).filter(away__isnull=False).values_list("tenant", "away")
    return [Waiting(*row) for row in away.annotate(count=Count("pk"), first=Min("recorded_at"))]


def _failed(now: datetime) -> list[Failed]:
    failed_calls = Call.objects.filter(stopped_at__gte=now - A_DAY, started_at__gte=now - A_DAY).order_by()
    counted = failed_calls.values_list("tenant", "cause").annotate(lately=_recent_count(now), count=Count("pk"))
    return [Failed(*row) for row in counted]


def _call_totals(tenant_ids: set[int], now: datetime) -> dict[int, Begun]:
    """Count all calls of the clients that have failed calls."""
    rows = Call.objects.filter(tenant__in=tenant_ids, started_at__gte=now - A_DAY).exclude(state=Call.State.SKIPPED)
    found = rows.order_by().values_list("tenant").annotate(lately=_recent_count(now), count=Count("pk"))
    return {pk: Begun(*counts) for pk, *counts in found}


def _recent_count(now: datetime) -> Count:
    return Count("pk", filter=Q(started_at__gte=now - LATELY))


def _unexplained() -> list[Unexplained]:
    days = LedgerDay.objects.filter(unexplained__gt=0).order_by().values_list("tenant")
    return [Unexplained(*row) for row in days.annotate(Sum("unexplained"), Min("day"), Max("day"))]
