"""Tasks of this app: load, then one call into our code."""

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
    """Evaluate one tenant's debounced calls."""
    now = timezone.now()
    if batch := Call.objects.claim(tenant_id, Call.State.SETTLING, limit=SETTLED_AT_ONCE, now=now):
        calls.settle(batch, now=now)
    if len(batch) == SETTLED_AT_ONCE:
        with transaction.atomic():
            enqueue(route.SETTLE, tenant_id)


def wake() -> None:
    """Every two seconds: enqueue calls whose debounce time is over."""
    calls.resume_due(states=[Call.State.SETTLING], now=timezone.now())


def collect_calls(tenant_id: int) -> None:
    """Fetch the legs of one tenant's due calls."""
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
    """Every minute: enqueue everything that is due, in case a push was lost."""
    now = timezone.now()
    inbox.decide_left(now=now)
    calls.resume_due(now=now)
    takeover.resume_due(now=now)
    errands.resume_due(now=now)


def run_errand(errand_id: int) -> None:
    errands.step(errand_id, now=timezone.now())


def sync_employees(tenant_id: int) -> None:
    _ask(tenant_id, lambda tenant: employees.sync(tenant, now=timezone.now()))


def reconcile_calls(tenant_id: int) -> None:
    """Find one tenant's calls that no webhook reported."""
    _ask(tenant_id, lambda tenant: reconcile.recent(tenant, now=timezone.now()))


def close_days(tenant_id: int) -> None:
    """Compare one tenant's finished days with UIS's report."""
    _ask(tenant_id, lambda tenant: nights.close_days(tenant, now=timezone.now()))


def take_over() -> None:
    """Run a chunk of the import of past calls that is due first."""
    takeover.step(now=timezone.now())


def poll_statuses(tenant_id: int) -> None:
    _ask(tenant_id, statuses.poll)


def probe(tenant_id: int) -> None:
    """Check whether UIS accepts our access again."""
    _ask(tenant_id, lambda tenant: clients.uis_client(tenant.uis).account())


def sync_all() -> None:
    """Every hour: one task for each active tenant."""
    _each(route.SYNC, uis__denied_at=None)


def reconcile_all() -> None:
    """Every ten minutes: one task for each active tenant."""
    _each(route.RECONCILE, uis__denied_at=None)


def close_all() -> None:
    """Every hour: tenants with an unclosed day, so that a failure is retried the next hour."""
    now = timezone.now()
    with transaction.atomic():
        for tenant in _live(uis__denied_at=None):
            if nights.has_open_night(tenant, now=now):
                enqueue(route.CLOSE, tenant.pk)


def poll_all() -> None:
    """Every two minutes: tenants with two-way status sync."""
    _each(route.POLL, uis__denied_at=None, rules__status_sync=TransferRules.StatusSync.BOTH)


def probe_all() -> None:
    """Every five minutes: tenants whose access UIS rejects."""
    _each(route.PROBE, uis__denied_at__isnull=False)


def _each(task: str, **conditions: object) -> None:
    with transaction.atomic():
        for tenant_id in _live(**conditions).values_list("pk", flat=True):
            enqueue(task, tenant_id)


def _live(**conditions: object) -> QuerySet[Tenant]:
    return Tenant.objects.filter(activated_at__isnull=False, is_paused=False, **conditions)


def _ask(tenant_id: int, request: Callable[[Tenant], object]) -> None:
    """Run a periodic UIS request: an error is logged, and not retried before the next period."""
    tenant = Tenant.objects.select_related("uis", "rules").get(pk=tenant_id)
    if tenant.left_at is not None:
        return  # It was queued before the tenant was disconnected.
    try:
        request(tenant)
    except remote.RemoteError as exc:
        # A missing permission affects one method; only a rejected key or IP address suspends the connection.
        if isinstance(exc, remote.AccessDenied) and actions.shuts_the_connection(exc):
            tenant.uis.deny(exc.code, str(exc), now=timezone.now())
        logger.warning("tenant=%s %s: %s", tenant.slug, type(exc).__name__, exc)
    else:
        tenant.uis.allow()
