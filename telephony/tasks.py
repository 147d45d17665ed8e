"""Tasks of this app: load, then one call into our code."""

from collections.abc import Callable, Sequence

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from structlog.contextvars import bind_contextvars

from connector_project.core import http_client, logging, rollups, sweeps
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.task_queue import drop_expired
from telephony import bulk_actions, client_factory, task_names
from telephony.calls import fetch_legs, pipeline, sweep
from telephony.models import Call
from telephony.reconciliation import daily, runs, shared_runs
from telephony.recordings import follow_up
from telephony.staff import status_polling, sync
from telephony.stats.rollup import CALLS
from telephony.webhooks import limits, process, text_cap
from tenants import periodic_work
from tenants.models import Tenant, UisConnection
from tenants.models.crm_connection import on_v4
from tenants.periodic_work import PeriodicWork
from tenants.rules import StatusSync

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


def sync_employees(*tenant_ids: int) -> None:
    """Import the staff of these tenants. Who shared this task shares the one that links them."""
    imported = list[int]()
    then = imported.append if len(tenant_ids) > 1 else sync.enqueue_linking

    def read(tenant: Tenant) -> None:
        sync.sync(tenant, then=then, now=timezone.now())

    try:
        _run_for_each(task_names.SYNC_EMPLOYEES, tenant_ids, read)
    finally:
        if imported:  # A worker that dies before loses it: they are imported again in an hour.
            with transaction.atomic():
                sync.enqueue_linking(*imported)


def reconcile_calls(*tenant_ids: int) -> None:
    """Find the calls of these tenants that no webhook reported."""

    with shared_runs.sharing(tenant_ids, now=timezone.now()) as shared:
        _run_for_each(task_names.RECONCILE_CALLS, tenant_ids, shared.compare, give_back=shared.release)


def close_days(tenant_id: int) -> None:
    """Compare one tenant's finished days with UIS's report."""
    _run_for_tenant(tenant_id, lambda tenant: runs.compare_next(tenant, runs.Kind.DAYS, now=timezone.now()))


def follow_up_recordings(tenant_id: int) -> None:
    """Ask UIS again for recordings that it should have."""
    _run_for_tenant(tenant_id, lambda tenant: follow_up.follow_up(tenant, now=timezone.now()))


def poll_statuses(*tenant_ids: int) -> None:
    _run_for_each(task_names.POLL_STATUSES, tenant_ids, status_polling.poll)


def probe(tenant_id: int) -> None:
    """Ask UIS whether it accepts our key: to confirm a denial, or because it may be over."""

    def verify(tenant: Tenant) -> None:
        client_factory.verify_account(tenant.uis, client_factory.uis_client(tenant.uis))

    _run_for_tenant(tenant_id, verify, is_probe=True)


def sync_all() -> None:
    """Every hour: import the staff of each active tenant."""
    periodic_work.begin(SYNC, now=timezone.now())


def reconcile_all() -> None:
    """Every ten minutes: compare the recent calls of each active tenant."""
    periodic_work.begin(RECONCILE, now=timezone.now())


def close_all() -> None:
    """Every hour: tenants with an unclosed day, so that a failure is retried the next hour."""
    periodic_work.begin(CLOSE_DAYS, now=timezone.now())


def follow_up_recordings_all() -> None:
    """Every hour: each active tenant with a call that awaits its recording."""
    periodic_work.begin(FOLLOW_UP_RECORDINGS, now=timezone.now())


def poll_all() -> None:
    """Every two minutes: tenants with two-way status sync."""
    periodic_work.begin(POLL_STATUSES, now=timezone.now())


def roll_up_calls() -> None:
    """Every minute: fold the changes of calls into the counts of the statistics."""
    CALLS.keep(Tenant.objects.zones())


def check_rolled_up_calls() -> None:
    """Every night: count the calls of one day again, and compare."""
    CALLS.check(day=rollups.choose_day(now=timezone.now()))


def probe_all() -> None:
    """Every five minutes: tenants whose access UIS rejects. A missing right is probed by the step that needs it."""
    UisConnection.forget_unused(now=timezone.now())
    periodic_work.begin(PROBE, now=timezone.now())


def _accessible() -> QuerySet[Tenant]:
    return Tenant.objects.live().filter(uis__denied_at=None)


def _awaiting_recordings() -> QuerySet[Tenant]:
    awaiting = Call.objects.filter(state=Call.State.UPLOADED, awaits_recording=True).values("tenant")
    return _accessible().filter(pk__in=awaiting)


def _with_status_sync() -> QuerySet[Tenant]:
    return _accessible().exclude(on_v4("crm__")).filter(rule_version__rules__status_sync=StatusSync.BOTH.value)


def _denied() -> QuerySet[Tenant]:
    return Tenant.objects.live().filter(uis__denied_at__isnull=False)


SYNC = PeriodicWork(task=task_names.SYNC_EMPLOYEES, minutes=60, clients=_accessible, most_clients=4, together=8)
RECONCILE = PeriodicWork(task=task_names.RECONCILE_CALLS, minutes=10, clients=_accessible, most_clients=8)
CLOSE_DAYS = PeriodicWork(
    task=task_names.CLOSE_DAYS,
    minutes=60,
    clients=_accessible,
    is_needed=lambda tenant, now: daily.has_unclosed_day(tenant, now=now),
    together=25,
)
FOLLOW_UP_RECORDINGS = PeriodicWork(task=task_names.FOLLOW_UP_RECORDINGS, minutes=60, clients=_awaiting_recordings)
POLL_STATUSES = PeriodicWork(task=task_names.POLL_STATUSES, minutes=2, clients=_with_status_sync, most_clients=8)
PROBE = PeriodicWork(task=UisConnection.PROBE_TASK, minutes=5, clients=_denied)
PERIODIC_WORK = (SYNC, RECONCILE, CLOSE_DAYS, FOLLOW_UP_RECORDINGS, POLL_STATUSES, PROBE)


_TENANTS: CompiledSelect[Tenant] = CompiledSelect(
    lambda given: Tenant.objects.select_related("uis", "rule_version").filter(pk__in=given.integers("pks")).order_by(),
    lists=["pks"],
)


def _run_for_each(
    task: str,
    tenant_ids: Sequence[int],
    request: Callable[[Tenant], object],
    *,
    give_back: Callable[[], object] = lambda: None,
) -> None:
    """Run a task that tenants share, who are read together: they are asked for within seconds, or in another task."""
    tenants = {tenant.pk: tenant for tenant in _TENANTS.fetch(pks=tenant_ids)}
    periodic_work.for_each(task, tenant_ids, lambda pk: _run(tenants[pk], request), give_back=give_back)


def _run_for_tenant(tenant_id: int, request: Callable[[Tenant], object], *, is_probe: bool = False) -> None:
    _run(_TENANTS.get(pks=[tenant_id]), request, is_probe=is_probe)


def _run(tenant: Tenant, request: Callable[[Tenant], object], *, is_probe: bool = False) -> None:
    """Run a periodic UIS request: an error is logged, and not retried before the next period."""
    if tenant.offboarded_at is not None:
        return  # It was queued before the tenant was disconnected.
    bind_contextvars(tenant=tenant.slug)
    try:
        request(tenant)
    except http_client.RemoteError as exc:
        tenant.uis.record_denial(exc, is_confirmed=is_probe, now=timezone.now())
        logger.warning("request failed", error=f"{type(exc).__name__}: {exc}")
