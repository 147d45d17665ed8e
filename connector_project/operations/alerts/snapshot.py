"""The snapshot that the alert rules evaluate: a fixed number of queries, whatever the number of clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, Exists, F, Max, Min, OuterRef, Q, Subquery, Sum, Value, When

from connector_project.core import workers
from connector_project.core.business_hours import BusinessHours
from connector_project.core.task_queue import Queue
from connector_project.operations import queue_lag
from connector_project.operations.alerts.no_events import WeeklyProfile
from connector_project.operations.models import Incident
from telephony.models import Call, DailyReconciliation, FailureReason, Notification
from tenants.models import Tenant

RECENT_PERIOD, UNREPORTED_PERIOD, DAY = timedelta(hours=2), timedelta(hours=6), timedelta(days=1)
# What a call waits for: an unavailable vendor (for this call or for one just before), or UIS API points.
AWAY = Case(
    When(
        Q(reason=FailureReason.UIS_UNAVAILABLE) | queue_lag.UIS_IS_AWAY, then=Value(FailureReason.UIS_UNAVAILABLE.value)
    ),
    When(reason=FailureReason.UIS_QUOTA, then=Value(FailureReason.UIS_QUOTA.value)),
    When(
        Q(reason=FailureReason.CRM_UNAVAILABLE) | queue_lag.CRM_IS_AWAY, then=Value(FailureReason.CRM_UNAVAILABLE.value)
    ),
)


@dataclass(frozen=True)
class Denied:
    system: str
    code: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class TenantSnapshot:
    pk: int
    zone: ZoneInfo
    business_hours: BusinessHours
    activated_at: datetime
    last_event_at: datetime | None = None
    unreported_calls: int = 0  # calls in UIS's report since then
    no_events: Mapping[str, Any] | None = None  # the context of an unresolved "no events" incident
    profile: WeeklyProfile | None = None
    denied: Sequence[Denied] = ()


@dataclass(frozen=True)
class Waiting:
    """Calls of one client that wait for a vendor that is unavailable or out of quota."""

    tenant_id: int
    reason: str
    count: int
    since: datetime


@dataclass(frozen=True)
class Failed:
    """Calls of one client that failed for one reason, in each of the two periods."""

    tenant_id: int
    reason: str
    recent: int
    in_a_day: int


@dataclass(frozen=True)
class CallTotals:
    """Calls of one client that no rule skipped, in each of the two periods."""

    recent: int = 0
    in_a_day: int = 0


@dataclass(frozen=True)
class Unexplained:
    """Calls of one client that reconciliation cannot explain."""

    tenant_id: int
    count: int
    first: date
    last: date


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    now: datetime
    tenants: Sequence[TenantSnapshot] = ()
    last_event_at: datetime | None = None  # of any client, paused ones included
    overdue: Mapping[int, datetime] = field(default_factory=dict)
    waiting: Sequence[Waiting] = ()
    failed: Sequence[Failed] = ()
    call_totals: Mapping[int, CallTotals] = field(default_factory=dict)
    unexplained: Sequence[Unexplained] = ()
    queues_without_workers: Mapping[Queue, datetime | None] = field(default_factory=dict)


def take_snapshot(*, now: datetime) -> Snapshot:
    failed = _failed(now)
    return Snapshot(
        now=now,
        tenants=_clients(now),
        last_event_at=Notification.objects.order_by("-received_at").values_list("received_at", flat=True).first(),
        overdue=queue_lag.by_client(now=now),
        waiting=_waiting(),
        failed=failed,
        call_totals=_call_totals({one.tenant_id for one in failed}, now),
        unexplained=_unexplained(),
        queues_without_workers=workers.find_queues_without_workers(now=now),
    )


def _clients(now: datetime) -> list[TenantSnapshot]:
    newest = Notification.objects.filter(tenant=OuterRef("pk")).order_by("-received_at").values("received_at")[:1]
    unreported, open_no_events = _unreported_calls(now), _open_no_events()
    # Only these columns, so that no access key is decrypted.
    rows = (
        Tenant.objects.live()
        .order_by("pk")
        .values(
            *("pk", "time_zone", "opens_at", "closes_at", "works_weekends", "activated_at"),
            *("traffic_profile__hours", "traffic_profile__weeks"),
            *("uis__denied_at", "uis__denied_code", "crm__denied_at", "crm__denied_code"),
            last_event_at=Subquery(newest),
        )
    )
    return [
        _client(row, unreported=unreported.get(row["pk"], 0), no_events=open_no_events.get(row["pk"])) for row in rows
    ]


def _client(row: Mapping[str, Any], *, unreported: int, no_events: Mapping[str, Any] | None) -> TenantSnapshot:
    return TenantSnapshot(
        pk=row["pk"],
        zone=ZoneInfo(row["time_zone"]),
        business_hours=BusinessHours(row["opens_at"], row["closes_at"], row["works_weekends"]),
        activated_at=row["activated_at"],
        last_event_at=row["last_event_at"],
        unreported_calls=unreported,
        no_events=no_events,
        profile=WeeklyProfile(row["traffic_profile__hours"], row["traffic_profile__weeks"])
        if row["traffic_profile__weeks"]
        else None,
        denied=[
            Denied(side, row[f"{side}__denied_code"], row[f"{side}__denied_at"])
            for side in ("uis", "crm")
            if row[f"{side}__denied_at"]
        ],
    )


def _open_no_events() -> dict[int, Mapping[str, Any]]:
    """Return the context of unresolved "no events" incidents, by client."""
    incidents = Incident.objects.filter(kind=Incident.Kind.NO_EVENTS, tenant__isnull=False)
    return dict(incidents.exclude(state=Incident.State.RESOLVED).order_by().values_list("tenant", "context"))


def _unreported_calls(now: datetime) -> dict[int, int]:
    """Count the calls known only from UIS's report that no notification has followed."""
    later = Notification.objects.filter(tenant=OuterRef("tenant"), received_at__gte=OuterRef("started_at"))
    found = Call.objects.filter(
        ~Exists(later),
        origin=Call.Origin.REPORT,
        is_internal=False,
        started_at__gte=now - UNREPORTED_PERIOD,
        tenant__activated_at__lte=F("started_at"),
    )
    return dict(found.order_by().values_list("tenant").annotate(Count("pk")))


def _waiting() -> list[Waiting]:
    waiting = Call.objects.filter(next_attempt_at__isnull=False, failed_at=None, is_low_priority=False).order_by()
    away = waiting.annotate(away=AWAY).filter(away__isnull=False).values_list("tenant", "away")
    return [Waiting(*row) for row in away.annotate(count=Count("pk"), first=Min("retry_window_started_at"))]


def _failed(now: datetime) -> list[Failed]:
    failed_calls = Call.objects.filter(failed_at__gte=now - DAY, started_at__gte=now - DAY).order_by()
    counted = failed_calls.values_list("tenant", "reason").annotate(recent=_recent_count(now), count=Count("pk"))
    return [Failed(*row) for row in counted]


def _call_totals(tenant_ids: set[int], now: datetime) -> dict[int, CallTotals]:
    """Count all calls of the clients that have failed calls."""
    rows = Call.objects.filter(tenant__in=tenant_ids, started_at__gte=now - DAY).exclude(state=Call.State.SKIPPED)
    found = rows.order_by().values_list("tenant").annotate(recent=_recent_count(now), count=Count("pk"))
    return {pk: CallTotals(*counts) for pk, *counts in found}


def _recent_count(now: datetime) -> Count:
    return Count("pk", filter=Q(started_at__gte=now - RECENT_PERIOD))


def _unexplained() -> list[Unexplained]:
    days = DailyReconciliation.objects.filter(unexplained__gt=0).order_by().values_list("tenant")
    return [Unexplained(*row) for row in days.annotate(Sum("unexplained"), Min("day"), Max("day"))]
