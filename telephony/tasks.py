"""Tasks of this app: load, then one call into our code."""

from collections.abc import Callable

from django.db import transaction
from django.utils import timezone
from structlog.contextvars import bind_contextvars

from connector_project.core import http_client, logging, sweeps
from connector_project.core.task_queue import drop_expired, enqueue
from telephony import bulk_actions, client_factory, task_names
from telephony.calls import fetch_legs, pipeline, sweep
from telephony.models import Call
from telephony.reconciliation import daily, runs
from telephony.recordings import follow_up
from telephony.staff import status_polling, sync
from telephony.webhooks import limits, process, text_cap
from tenants.models import Tenant, TransferRules, UisConnection
from tenants.models.crm_connection import on_v4

logger = logging.logger(__name__)


def evaluate_calls(tenant_id: int) -> None:
    pipeline.evaluate_due(tenant_id, now=timezone.now())


def enqueue_debounced() -> None:
    """Every two seconds: enqueue calls whose debounce time is over."""
    sweep.resume_due(states=[Call.State.DEBOUNCING], now=timezone.now())


def limit_notifications() -> None:
    """Every two seconds: refuse more notifications of the tenants that send too many."""
    limits.apply(now=timezone.now())


def fetch_call_legs(tenant_id: int) -> None:
    fetch_legs.fetch_due(tenant_id, now=timezone.now())


def enqueue_due_work() -> None:
    """Every minute: enqueue everything that is due, in case a push was lost."""
    sweeps.run_all(
        drop_expired,
        process.enqueue_due,
        sweep.fail_broken,
        sweep.end_waits,
        sweep.resume_due,
        bulk_actions.resume_due,
        sync.enqueue_readings,
        text_cap.apply,
        now=timezone.now(),
    )


def run_bulk_action() -> None:
    """Run a portion of the bulk action that is due first."""
    bulk_actions.run_next(now=timezone.now())


def sync_employees(tenant_id: int) -> None:
    _run_for_tenant(tenant_id, lambda tenant: sync.sync(tenant, now=timezone.now()))


def reconcile_calls(tenant_id: int) -> None:
    """Find one tenant's calls that no webhook reported."""
    _run_for_tenant(tenant_id, lambda tenant: runs.compare_next(tenant, runs.Kind.RECENT, now=timezone.now()))


def close_days(tenant_id: int) -> None:
    """Compare one tenant's finished days with UIS's report."""
    _run_for_tenant(tenant_id, lambda tenant: runs.compare_next(tenant, runs.Kind.DAYS, now=timezone.now()))


def follow_up_recordings(tenant_id: int) -> None:
    """Ask UIS again for recordings that it should have."""
    _run_for_tenant(tenant_id, lambda tenant: follow_up.follow_up(tenant, now=timezone.now()))


def poll_statuses(tenant_id: int) -> None:
    _run_for_tenant(tenant_id, status_polling.poll)


def probe(tenant_id: int) -> None:
    """Ask UIS whether it accepts our key: to confirm a denial, or because it may be over."""

    def verify(tenant: Tenant) -> None:
        client_factory.verify_account(tenant.uis, client_factory.uis_client(tenant.uis))

    _run_for_tenant(tenant_id, verify, is_probe=True)


def sync_all() -> None:
    """Every hour: one task for each active tenant."""
    Tenant.objects.live().filter(uis__denied_at=None).enqueue_each(task_names.SYNC_EMPLOYEES)


def reconcile_all() -> None:
    """Every ten minutes: one task for each active tenant."""
    Tenant.objects.live().filter(uis__denied_at=None).enqueue_each(task_names.RECONCILE_CALLS)


def close_all() -> None:
    """Every hour: tenants with an unclosed day, so that a failure is retried the next hour."""
    now = timezone.now()
    with transaction.atomic():
        for tenant in Tenant.objects.live().filter(uis__denied_at=None):
            if daily.has_unclosed_day(tenant, now=now):
                enqueue(task_names.CLOSE_DAYS, tenant.pk)


def follow_up_recordings_all() -> None:
    """Every hour: one task for each active tenant with a call that awaits its recording."""
    awaiting = Call.objects.filter(state=Call.State.UPLOADED, awaits_recording=True).values("tenant")
    Tenant.objects.live().filter(uis__denied_at=None, pk__in=awaiting).enqueue_each(task_names.FOLLOW_UP_RECORDINGS)


def poll_all() -> None:
    """Every two minutes: tenants with two-way status sync."""
    accessible = Tenant.objects.live().filter(uis__denied_at=None).exclude(on_v4("crm__"))
    accessible.filter(rules__status_sync=TransferRules.StatusSync.BOTH).enqueue_each(task_names.POLL_STATUSES)


def probe_all() -> None:
    """Every five minutes: tenants whose access UIS rejects. A missing right is probed by the step that needs it."""
    UisConnection.forget_unused(now=timezone.now())
    Tenant.objects.live().filter(uis__denied_at__isnull=False).enqueue_each(UisConnection.PROBE_TASK)


def _run_for_tenant(tenant_id: int, request: Callable[[Tenant], object], *, is_probe: bool = False) -> None:
    """Run a periodic UIS request: an error is logged, and not retried before the next period."""
    tenant = Tenant.objects.select_related("uis", "rules").get(pk=tenant_id)
    if tenant.offboarded_at is not None:
        return  # It was queued before the tenant was disconnected.
    bind_contextvars(tenant=tenant.slug)
    try:
        request(tenant)
    except http_client.RemoteError as exc:
        tenant.uis.record_denial(exc, is_confirmed=is_probe, now=timezone.now())
        logger.warning("request failed", error=f"{type(exc).__name__}: {exc}")
