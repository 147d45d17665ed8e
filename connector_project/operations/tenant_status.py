"""The status of each client, computed in SQL so that thousands can be sorted by it; its reason; who must act."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import Case, Count, Exists, OuterRef, Q, QuerySet, Subquery, Value, When
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import CheckResult, Responsible
from connector_project.core.local_dates import begin, day_of
from connector_project.operations.alerts import denials, incident_texts, incidents
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation, Incident
from connector_project.operations.onboarding import activation
from telephony.models import Call, Notification
from tenants.datetime_display import format_short
from tenants.models import Tenant
from tenants.visibility import Reader, visible_to

Reason = tuple[str, Responsible | None]


class TenantStatus(models.IntegerChoices):
    """A client's status, most urgent first."""

    ACCESS_DENIED = 1, _("access denied")
    NO_EVENTS = 2, _("no events")
    ACTIVATION_FAILED = 3, _("activation failed")
    FAILING = 4, _("active, needs attention")
    NOT_ACTIVATED = 5, _("not activated")
    PAUSED = 6, _("paused")
    ACTIVE = 7, _("active")
    OFFBOARDED = 8, _("disconnected")


@dataclass(frozen=True)
class RecentActivity:
    """A client's recent activity."""

    calls_today: int = 0
    last_event_at: datetime | None = None
    no_events: Incident | None = None  # the active incident


@dataclass(frozen=True)
class StatusReport:
    """A client's status, the reason, and who must act; None if nobody has to."""

    state: TenantStatus
    reason: str = ""
    responsible: Responsible | None = None


def with_status(tenants: QuerySet[Tenant]) -> QuerySet[Tenant]:
    """Annotate each client with its status as `status`. The alerts decide what counts as no events."""
    has_no_events = Exists(_no_event_incidents().filter(tenant=OuterRef("pk")))
    return tenants.annotate(
        status=Case(
            When(offboarded_at__isnull=False, then=Value(TenantStatus.OFFBOARDED)),
            When(is_paused=True, then=Value(TenantStatus.PAUSED)),
            When(
                activated_at=None, activation__state=Activation.State.FAILED, then=Value(TenantStatus.ACTIVATION_FAILED)
            ),
            When(activated_at=None, then=Value(TenantStatus.NOT_ACTIVATED)),
            When(
                Q(uis__denied_at__isnull=False) | Q(crm__denied_at__isnull=False),
                then=Value(TenantStatus.ACCESS_DENIED),
            ),
            When(has_no_events, then=Value(TenantStatus.NO_EVENTS)),
            # One right is missing.
            When(is_denied("uis") | is_denied("crm"), then=Value(TenantStatus.ACCESS_DENIED)),
            When(check_run__failed_count__gt=0, then=Value(TenantStatus.FAILING)),
            default=Value(TenantStatus.ACTIVE),
            output_field=models.PositiveSmallIntegerField(),
        )
    )


def state(tenant: Tenant) -> TenantStatus:
    """Return the status of a client loaded through `with_status`."""
    return TenantStatus(vars(tenant)["status"])


def describe(tenant: Tenant, *, activity: RecentActivity, now: datetime) -> StatusReport:
    """Describe a client loaded through `with_status`; no queries if its related rows were selected too."""
    status = state(tenant)
    return StatusReport(status, *_describe(tenant, status, activity, now=now))


def recent_activity(tenants: Iterable[Tenant], *, now: datetime) -> dict[int, RecentActivity]:
    """Return recent activity by client, in three queries for any number of clients."""
    zones = {tenant.pk: tenant.time_zone for tenant in tenants}
    today = Call.objects.filter(today_condition("started_at", set(zones.values()), now=now), tenant__in=zones)
    counts = dict(today.order_by().values_list("tenant").annotate(Count("pk")))
    newest = Notification.objects.filter(tenant=OuterRef("pk")).order_by("-received_at").values("received_at")[:1]
    last_event_at = dict(Tenant.objects.filter(pk__in=zones).order_by().values_list("pk", Subquery(newest)))
    incidents_by_tenant = {
        incident.tenant_id: incident
        for incident in _no_event_incidents().filter(tenant__in=zones).select_related("tenant")
    }
    return {pk: RecentActivity(counts.get(pk, 0), last_event_at.get(pk), incidents_by_tenant.get(pk)) for pk in zones}


def _no_event_incidents() -> QuerySet[Incident]:
    return incidents.active().filter(kind=Incident.Kind.NO_EVENTS)


def today_condition(moment: str, zones: Iterable[str], *, now: datetime) -> Q:
    """Return a Q for rows of the client's current local day. `moment` is the datetime column."""
    today, earliest = Q(pk__in=[]), now
    for name in zones:
        zone = ZoneInfo(name)
        midnight = begin(day_of(now, zone=zone), zone=zone)
        today |= Q(("tenant__time_zone", name), (f"{moment}__gte", midnight))
        earliest = min(earliest, midnight)
    # Redundant, but lets the database use an index.
    return Q((f"{moment}__gte", earliest)) & today


def zones_in_use(reader: Reader = None) -> list[str]:
    """Return the time zones of all clients that the reader may see."""
    return list(visible_to(Tenant.objects.order_by(), reader).values_list("time_zone", flat=True).distinct())


def _describe(tenant: Tenant, status: TenantStatus, activity: RecentActivity, *, now: datetime) -> Reason:
    match status:
        case TenantStatus.ACCESS_DENIED:
            return _describe_denied(tenant)
        case TenantStatus.NO_EVENTS if activity.no_events:  # It may have been resolved meanwhile.
            return incident_texts.message(activity.no_events, now=now), Responsible.CLIENT
        case TenantStatus.ACTIVATION_FAILED:
            return _from_result(activation.failure(tenant.activation))
        case TenantStatus.FAILING:
            return _from_result(next((one for one in runner.stored_results(tenant.check_run) if not one.ok), None))
        case TenantStatus.NOT_ACTIVATED:
            return _describe_not_activated(tenant, now=now)
        case TenantStatus.PAUSED:
            return gettext("Paused by the operator; incoming events are stored and wait."), Responsible.OPERATOR
        case TenantStatus.OFFBOARDED:
            return _describe_offboarded(tenant, now=now)
    return "", None


def is_denied(connection: str) -> Q:
    """Return the condition that a vendor denies access, or a right; `connection` is “uis” or “crm”."""
    return Q((f"{connection}__isnull", False)) & ~Q((f"{connection}__denials", {}))


def _describe_denied(tenant: Tenant) -> Reason:
    """Describe all that is denied; who must act comes from the first."""
    denied = [one for connection in (tenant.uis, tenant.crm) for one in denials.of_connection(connection)]
    if not denied:  # It may have been granted since the status was read.
        return "", None
    return " ".join(one.message for one in denied), denied[0].responsible


def _describe_offboarded(tenant: Tenant, *, now: datetime) -> Reason:
    params = {"moment": format_short(tenant, tenant.offboarded_at, now=now)}
    if tenant.approval_asked_at:
        return gettext("Disconnected: %(moment)s. The client wants to reconnect.") % params, Responsible.OPERATOR
    return gettext("Disconnected: %(moment)s") % params, None


def _describe_not_activated(tenant: Tenant, *, now: datetime) -> Reason:
    """Say why a client is not activated yet."""
    row: Activation | None = getattr(tenant, "activation", None)
    if row is not None and row.state == Activation.State.RUNNING:
        return gettext("Activation in progress: %(step)s.") % {"step": row.get_step_display()}, None
    if not tenant.has_activation_link(now=now):
        return gettext(
            "The activation link has expired. Create a new one and send it to the client."
        ), Responsible.OPERATOR
    return gettext("The client has not started the activation yet."), Responsible.CLIENT


def _from_result(result: CheckResult | None) -> Reason:
    return (result.message, result.check.responsible) if result else ("", None)
