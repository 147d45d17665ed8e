"""Tasks and schedules of this app: load, one call into our code."""

import logging
from collections.abc import Callable

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from connector_project import remote
from connector_project.queue import enqueue
from telephony import (
    actions,
    calls,
    clients,
    collect,
    employees,
    errands,
    inbox,
    nights,
    reconcile,
    route,
    statuses,
    takeover,
)
from telephony.models import Call
from tenants.models import Tenant, TransferRules, UisConnection

SETTLED_AT_ONCE = 100

logger = logging.getLogger(__name__)


def settle_calls(tenant_id: int) -> None:
    """Decide one client's calls of which no more is to be awaited."""
    now = timezone.now()
    if batch := Call.objects.claim(tenant_id, Call.State.SETTLING, limit=SETTLED_AT_ONCE, now=now):
        calls.settle(batch, now=now)
    if len(batch) == SETTLED_AT_ONCE:
        with transaction.atomic():
            enqueue(route.SETTLE, tenant_id)


def wake() -> None:
    """Every two seconds: calls that waited for contradiction, and may now go on."""
    calls.resume_due(states=[Call.State.SETTLING], now=timezone.now())


def collect_calls(tenant_id: int) -> None:
    """Ask UIS for the legs of one client's calls that are due."""
    now = timezone.now()
    due = Call.objects.due(now=now).filter(tenant=tenant_id, state=Call.State.COLLECTING)
    first = due.order_by("is_backlog").values_list("is_backlog", flat=True).first()
    if first is None or not collect.take_turn(UisConnection.objects.get(tenant=tenant_id), is_backlog=first, now=now):
        return
    batch = Call.objects.claim(tenant_id, Call.State.COLLECTING, limit=collect.BATCH, is_backlog=first, now=now)
    if batch:
        collect.collect(batch, now=now)
    if len(batch) == collect.BATCH or (not first and due.exists()):
        with transaction.atomic():
            enqueue(route.COLLECT, tenant_id)


def sweep() -> None:
    """Every minute: whatever is due, and nobody nudged."""
    now = timezone.now()
    inbox.decide_left(now=now)
    calls.resume_due(now=now)
    takeover.resume_due(now=now)
    errands.resume_due(now=now)


def run_errand(errand_id: int) -> None:
    """Do a part of what a person ordered for many rows."""
    errands.step(errand_id, now=timezone.now())


def sync_employees(tenant_id: int) -> None:
    """Bring one client's staff list."""
    _ask(tenant_id, lambda tenant: employees.sync(tenant, now=timezone.now()))


def reconcile_calls(tenant_id: int) -> None:
    """Find one client's calls that no webhook told us about."""
    _ask(tenant_id, lambda tenant: reconcile.recent(tenant, now=timezone.now()))


def close_days(tenant_id: int) -> None:
    """Compare one client's days that are over with UIS's list."""
    _ask(tenant_id, lambda tenant: nights.close_days(tenant, now=timezone.now()))


def take_over() -> None:
    """Do a part of what a person takes over, whoever's turn it is."""
    takeover.step(now=timezone.now())


def poll_statuses(tenant_id: int) -> None:
    """Look whose status changed in UIS."""
    _ask(tenant_id, statuses.poll)


def probe(tenant_id: int) -> None:
    """Look whether UIS lets us in again."""
    _ask(tenant_id, lambda tenant: clients.uis_client(tenant.uis).account())


def sync_all() -> None:
    """Every hour: one task for each live client."""
    _each(route.SYNC, uis__denied_at=None)


def reconcile_all() -> None:
    """Every ten minutes: the same."""
    _each(route.RECONCILE, uis__denied_at=None)


def close_all() -> None:
    """Every hour: clients whose night it is; where points or UIS were missing, the next hour tries again."""
    now = timezone.now()
    with transaction.atomic():
        for tenant in _live(uis__denied_at=None):
            if nights.has_open_night(tenant, now=now):
                enqueue(route.CLOSE, tenant.pk)


def poll_all() -> None:
    """Every two minutes: clients whose statuses go both ways."""
    _each(route.POLL, uis__denied_at=None, rules__status_sync=TransferRules.StatusSync.BOTH)


def probe_all() -> None:
    """Every five minutes: clients whom UIS shut out."""
    _each(route.PROBE, uis__denied_at__isnull=False)


def _each(task: str, **conditions: object) -> None:
    with transaction.atomic():
        for tenant_id in _live(**conditions).values_list("pk", flat=True):
            enqueue(task, tenant_id)


def _live(**conditions: object) -> QuerySet[Tenant]:
    return Tenant.objects.filter(activated_at__isnull=False, is_paused=False, **conditions)


def _ask(tenant_id: int, question: Callable[[Tenant], object]) -> None:
    """Ask UIS something that comes round again by itself: a refusal is noted, not repeated."""
    tenant = Tenant.objects.select_related("uis", "rules").get(pk=tenant_id)
    if tenant.left_at is not None:
        return  # It was queued before he left.
    try:
        question(tenant)
    except remote.RemoteError as exc:
        # A missing right stops what needs it; only a key or an address that is refused stops everything.
        if isinstance(exc, remote.AccessDenied) and actions.shuts_the_connection(exc):
            tenant.uis.deny(exc.code, str(exc), now=timezone.now())
        logger.warning("tenant=%s %s: %s", tenant.slug, type(exc).__name__, exc)
    else:
        tenant.uis.allow()
