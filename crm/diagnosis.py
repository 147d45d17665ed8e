"""The status of each client, computed in SQL so that thousands can be sorted by it; its reason; who must act."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import Case, Count, Exists, OuterRef, Q, QuerySet, Subquery, Value, When
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from crm import checkup, progress
from crm.alarms import incidents, words
from crm.models import Activation, Incident
from telephony.models import Call, Notification
from tenants.clock import said_at
from tenants.finding import Finding, Who
from tenants.models import Connection, Tenant

Cause = tuple[str, Who | None]


class State(models.IntegerChoices):
    """A client's status, most urgent first."""

    DENIED = 1, _("access denied")
    SILENT = 2, _("no events")
    STOPPED = 3, _("activation failed")
    FAILING = 4, _("active, needs attention")
    NOT_ACTIVATED = 5, _("not activated")
    PAUSED = 6, _("paused")
    ACTIVE = 7, _("active")
    LEFT = 8, _("disconnected")


@dataclass(frozen=True)
class Pulse:
    """A client's recent activity."""

    calls_today: int = 0
    last_event_at: datetime | None = None
    silence: Incident | None = None  # the active incident


@dataclass(frozen=True)
class Diagnosis:
    """A client's status, the reason, and who must act; None if nobody has to."""

    state: State
    cause: str = ""
    who: Who | None = None


def ranked(tenants: QuerySet[Tenant]) -> QuerySet[Tenant]:
    """Annotate each client with its status as `rank`. The alerts decide what counts as no events."""
    has_no_events = Exists(_no_event_incidents().filter(tenant=OuterRef("pk")))
    return tenants.annotate(
        rank=Case(
            When(left_at__isnull=False, then=Value(State.LEFT)),
            When(is_paused=True, then=Value(State.PAUSED)),
            When(activated_at=None, activation__state=Activation.State.FAILED, then=Value(State.STOPPED)),
            When(activated_at=None, then=Value(State.NOT_ACTIVATED)),
            When(Q(uis__denied_at__isnull=False) | Q(crm__denied_at__isnull=False), then=Value(State.DENIED)),
            When(has_no_events, then=Value(State.SILENT)),
            When(checkup__failing__gt=0, then=Value(State.FAILING)),
            default=Value(State.ACTIVE),
            output_field=models.PositiveSmallIntegerField(),
        )
    )


def state(tenant: Tenant) -> State:
    """Return the status of a client loaded through `with_status`."""
    return State(vars(tenant)["rank"])


def diagnose(tenant: Tenant, *, pulse: Pulse, now: datetime) -> Diagnosis:
    """Describe a client loaded through `with_status`; no queries if its related rows were selected too."""
    status = state(tenant)
    return Diagnosis(status, *_CAUSES[status](tenant, pulse, now))


def pulses(tenants: Iterable[Tenant], *, now: datetime) -> dict[int, Pulse]:
    """Return recent activity by client, in three queries for any number of clients."""
    zones = {tenant.pk: tenant.time_zone for tenant in tenants}
    today = Call.objects.filter(of_today("started_at", set(zones.values()), now=now), tenant__in=zones)
    counts = dict(today.order_by().values_list("tenant").annotate(Count("pk")))
    newest = Notification.objects.filter(tenant=OuterRef("pk")).order_by("-received_at").values("received_at")[:1]
    last_event_at = dict(Tenant.objects.filter(pk__in=zones).order_by().values_list("pk", Subquery(newest)))
    incidents_by_tenant = {
        one.tenant_id: one for one in _no_event_incidents().filter(tenant__in=zones).select_related("tenant")
    }
    return {pk: Pulse(counts.get(pk, 0), last_event_at.get(pk), incidents_by_tenant.get(pk)) for pk in zones}


def _no_event_incidents() -> QuerySet[Incident]:
    return incidents.pressing().filter(kind=Incident.Kind.SILENCE)


def of_today(moment: str, zones: Iterable[str], *, now: datetime) -> Q:
    """Return a Q for rows of the client's current local day. `moment` is the datetime column."""
    midnights = {zone: _midnight(zone, now) for zone in zones}
    today = Q(pk__in=[])
    for zone, midnight in midnights.items():
        today |= Q(("tenant__time_zone", zone), (f"{moment}__gte", midnight))
    # Redundant, but lets the database use an index.
    return Q((f"{moment}__gte", min(midnights.values(), default=now))) & today


def zones_in_use() -> list[str]:
    """Return the time zones of all clients."""
    return list(Tenant.objects.order_by().values_list("time_zone", flat=True).distinct())


def _midnight(zone: str, now: datetime) -> datetime:
    return now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)


def _describe_denied(tenant: Tenant, _pulse: Pulse, _now: datetime) -> Cause:
    """Describe each suspended connection; who must act comes from the first."""
    suspended: list[Connection] = [side for side in (tenant.uis, tenant.crm) if side.denied_at]
    text = " ".join(words.denial(side.denied_code, side.denied_says) for side in suspended)
    return text, Who[words.denial_is_for(suspended[0].denied_code).name]


def _describe_no_events(_tenant: Tenant, pulse: Pulse, now: datetime) -> Cause:
    """Use the incident's text; empty if it has been resolved meanwhile."""
    return (words.says(pulse.silence, now=now), Who.CLIENT) if pulse.silence else ("", None)


def _describe_failed_activation(tenant: Tenant, _pulse: Pulse, _now: datetime) -> Cause:
    return _from_result(progress.cause(tenant.activation))


def _describe_failed_check(tenant: Tenant, _pulse: Pulse, _now: datetime) -> Cause:
    return _from_result(next((found for found in checkup.kept(tenant.checkup) if not found.is_ok), None))


def _describe_not_activated(tenant: Tenant, _pulse: Pulse, now: datetime) -> Cause:
    """Say why a client is not activated yet."""
    row: Activation | None = getattr(tenant, "activation", None)
    if row is not None and row.state == Activation.State.RUNNING:
        return gettext("Activation in progress: %(step)s.") % {"step": row.get_step_display()}, None
    if tenant.activation_expires_at is None or tenant.activation_expires_at <= now:
        return gettext("The activation link has expired. Create a new one and send it to the client."), Who.OPERATOR
    return gettext("The client has not started the activation yet."), Who.CLIENT


def _describe_paused(_tenant: Tenant, _pulse: Pulse, _now: datetime) -> Cause:
    return gettext("Paused by the operator; incoming events are stored and wait."), Who.OPERATOR


def _describe_disconnected(tenant: Tenant, _pulse: Pulse, now: datetime) -> Cause:
    return gettext("Disconnected: %(moment)s") % {"moment": said_at(tenant, tenant.left_at, now=now)}, None


def _from_result(finding: Finding | None) -> Cause:
    return (finding.says, finding.check.who) if finding else ("", None)


_CAUSES: dict[State, Callable[[Tenant, Pulse, datetime], Cause]] = {
    State.DENIED: _describe_denied,
    State.SILENT: _describe_no_events,
    State.STOPPED: _describe_failed_activation,
    State.FAILING: _describe_failed_check,
    State.NOT_ACTIVATED: _describe_not_activated,
    State.PAUSED: _describe_paused,
    State.ACTIVE: lambda _tenant, _pulse, _now: ("", None),
    State.LEFT: _describe_disconnected,
}
