"""How each client is: one state, decided in SQL so that thousands are sorted by it, its cause, and who must act."""

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
    """How a client is; those who need somebody come first."""

    DENIED = 1, _("denied")
    SILENT = 2, _("silent")
    STOPPED = 3, _("activation stopped")
    FAILING = 4, _("active, with faults")
    NOT_ACTIVATED = 5, _("not activated")
    PAUSED = 6, _("paused")
    ACTIVE = 7, _("active")
    LEFT = 8, _("left")


@dataclass(frozen=True)
class Pulse:
    """What passed lately."""

    calls_today: int = 0
    last_event_at: datetime | None = None
    silence: Incident | None = None  # what the alarms say of it


@dataclass(frozen=True)
class Diagnosis:
    """How a client is, why, and who must act; nobody where all is well or goes its way."""

    state: State
    cause: str = ""
    who: Who | None = None


def ranked(tenants: QuerySet[Tenant]) -> QuerySet[Tenant]:
    """Add each client's state as `rank`, to be sorted and filtered by. What a silence is, the alarms decide."""
    silent = Exists(_silences().filter(tenant=OuterRef("pk")))
    return tenants.annotate(
        rank=Case(
            When(left_at__isnull=False, then=Value(State.LEFT)),
            When(is_paused=True, then=Value(State.PAUSED)),
            When(activated_at=None, activation__state=Activation.State.FAILED, then=Value(State.STOPPED)),
            When(activated_at=None, then=Value(State.NOT_ACTIVATED)),
            When(Q(uis__denied_at__isnull=False) | Q(crm__denied_at__isnull=False), then=Value(State.DENIED)),
            When(silent, then=Value(State.SILENT)),
            When(checkup__failing__gt=0, then=Value(State.FAILING)),
            default=Value(State.ACTIVE),
            output_field=models.PositiveSmallIntegerField(),
        )
    )


def state(tenant: Tenant) -> State:
    """Return the state of a client who came out of `ranked`."""
    return State(vars(tenant)["rank"])


def diagnose(tenant: Tenant, *, pulse: Pulse, now: datetime) -> Diagnosis:
    """Return how a client who came out of `ranked` is; asks nothing of the database where his parts came along."""
    is_now = state(tenant)
    return Diagnosis(is_now, *_CAUSES[is_now](tenant, pulse, now))


def pulses(tenants: Iterable[Tenant], *, now: datetime) -> dict[int, Pulse]:
    """Return what passed lately, by client; three queries however many there are."""
    zones = {tenant.pk: tenant.time_zone for tenant in tenants}
    today = Call.objects.filter(of_today("started_at", set(zones.values()), now=now), tenant__in=zones)
    counts = dict(today.order_by().values_list("tenant").annotate(Count("pk")))
    newest = Notification.objects.filter(tenant=OuterRef("pk")).order_by("-received_at").values("received_at")[:1]
    last = dict(Tenant.objects.filter(pk__in=zones).order_by().values_list("pk", Subquery(newest)))
    silences = {one.tenant_id: one for one in _silences().filter(tenant__in=zones).select_related("tenant")}
    return {pk: Pulse(counts.get(pk, 0), last.get(pk), silences.get(pk)) for pk in zones}


def _silences() -> QuerySet[Incident]:
    return incidents.pressing().filter(kind=Incident.Kind.SILENCE)


def of_today(moment: str, zones: Iterable[str], *, now: datetime) -> Q:
    """Return the condition that a client's row is of today by his own clock. `moment` names the row's column."""
    midnights = {zone: _midnight(zone, now) for zone in zones}
    today = Q(pk__in=[])
    for zone, midnight in midnights.items():
        today |= Q(("tenant__time_zone", zone), (f"{moment}__gte", midnight))
    # Says nothing new, but an index can be asked by it.
    return Q((f"{moment}__gte", min(midnights.values(), default=now))) & today


def zones_in_use() -> list[str]:
    """Return the time zones clients live in."""
    return list(Tenant.objects.order_by().values_list("time_zone", flat=True).distinct())


def _midnight(zone: str, now: datetime) -> datetime:
    return now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)


def _denial(tenant: Tenant, _pulse: Pulse, _now: datetime) -> Cause:
    """Name what each side that shut its door wants changed, and who must act first."""
    sides: list[Connection] = [side for side in (tenant.uis, tenant.crm) if side.denied_at]
    says = " ".join(words.denial(side.denied_code, side.denied_says) for side in sides)
    return says, Who[words.denial_is_for(sides[0].denied_code).name]


def _silence(_tenant: Tenant, pulse: Pulse, now: datetime) -> Cause:
    """Say what the alarms say; one that ended at this very moment says nothing."""
    return (words.says(pulse.silence, now=now), Who.CLIENT) if pulse.silence else ("", None)


def _stop(tenant: Tenant, _pulse: Pulse, _now: datetime) -> Cause:
    return _said(progress.cause(tenant.activation))


def _faults(tenant: Tenant, _pulse: Pulse, _now: datetime) -> Cause:
    return _said(next((found for found in checkup.kept(tenant.checkup) if not found.is_ok), None))


def _wait(tenant: Tenant, _pulse: Pulse, now: datetime) -> Cause:
    """Name what a client who is not switched on waits for."""
    row: Activation | None = getattr(tenant, "activation", None)
    if row is not None and row.state == Activation.State.RUNNING:
        return gettext("Activation is under way: %(step)s.") % {"step": row.get_step_display()}, None
    if tenant.activation_expires_at is None or tenant.activation_expires_at <= now:
        return gettext(
            "The activation link is no longer valid. Make a new one and hand it to the client."
        ), Who.OPERATOR
    return gettext("The client has not pressed the button on his page yet."), Who.CLIENT


def _pause(_tenant: Tenant, _pulse: Pulse, _now: datetime) -> Cause:
    return gettext("Paused at the desk; what comes in is kept and waits."), Who.OPERATOR


def _departure(tenant: Tenant, _pulse: Pulse, now: datetime) -> Cause:
    return gettext("Left: %(moment)s") % {"moment": said_at(tenant, tenant.left_at, now=now)}, None


def _said(finding: Finding | None) -> Cause:
    return (finding.says, finding.check.who) if finding else ("", None)


_CAUSES: dict[State, Callable[[Tenant, Pulse, datetime], Cause]] = {
    State.DENIED: _denial,
    State.SILENT: _silence,
    State.STOPPED: _stop,
    State.FAILING: _faults,
    State.NOT_ACTIVATED: _wait,
    State.PAUSED: _pause,
    State.ACTIVE: lambda _tenant, _pulse, _now: ("", None),
    State.LEFT: _departure,
}
