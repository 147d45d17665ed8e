"""Tasks and schedules of this app: load the rows, make one call."""

from collections.abc import Callable

from django.utils import timezone
from structlog.contextvars import bind_contextvars

from connector_project.core import check_results, http_client, logging, rollups, sweeps
from connector_project.core.compiled_queries import CompiledSelect
from crm import (
    click_refusals,
    client_factory,
    commands,
    integration_module,
    key_verification,
    module_state,
    outdated_modules,
    popup_ends,
    renamed_accounts,
    status_sync,
    unconnected_clicks,
    upload_verification,
    uploads,
    user_linking,
)
from crm.models import Popup
from crm.popup_rollup import POPUPS
from telephony import task_names
from tenants import periodic_work
from tenants.models import CrmConnection, Tenant
from tenants.periodic_work import PeriodicWork

logger = logging.logger(__name__)


def find_owners(tenant_id: int) -> None:
    uploads.find_owners_due(tenant_id, now=timezone.now())


def upload_calls(tenant_id: int) -> None:
    uploads.upload_due(tenant_id, now=timezone.now())


def roll_up_popups() -> None:
    """Every minute: fold the changes of pop-ups into the counts of the statistics."""
    POPUPS.keep(Tenant.objects.zones())


def check_rolled_up_popups() -> None:
    """Every night: count the pop-ups of one day again, and compare."""
    POPUPS.check(day=rollups.choose_day(now=timezone.now()))


def run_command(command_id: int) -> None:
    commands.run(command_id, now=timezone.now())


def tell_refused_click(command_id: int) -> None:
    click_refusals.tell(command_id, now=timezone.now())


def check_started_click(command_id: int) -> None:
    unconnected_clicks.check(command_id, now=timezone.now())


def enqueue_popup_ends() -> None:
    """Every two seconds: enqueue the closing of pop-ups that have waited long enough for the reason."""
    popup_ends.enqueue_due(now=timezone.now())


def close_popups(tenant_id: int) -> None:
    popup_ends.close_waiting(tenant_id, now=timezone.now())


def link_users(*tenant_ids: int) -> None:
    """Link the employees of these clients."""

    def link(tenant: Tenant) -> None:
        user_linking.link(tenant, now=timezone.now())

    tenants = {tenant.pk: tenant for tenant in _TENANTS.fetch(pks=tenant_ids)}
    periodic_work.for_each(task_names.LINK_USERS, tenant_ids, lambda pk: _run(tenants[pk], link))


def register_module(tenant_id: int) -> None:
    """Register our URLs after they changed; if that fails, the sweep repeats it."""

    def register(tenant: Tenant) -> None:
        integration_module.register(tenant, client_factory.crm_client(tenant.crm), now=timezone.now())

    _run_for_tenant(tenant_id, register)


def look_at_reported_address(tenant_id: int) -> None:
    renamed_accounts.look(tenant_id, now=timezone.now())


def verify_uploads(tenant_id: int) -> None:
    """Verify that uploaded calls are in the CRM."""
    if upload_verification.is_due(tenant_id, now=timezone.now()):
        _run_for_tenant(tenant_id, lambda tenant: upload_verification.verify(tenant, now=timezone.now()))


def verify_uploads_all() -> None:
    """Every hour: clients whose CRM connection is not suspended."""
    periodic_work.begin(VERIFY_UPLOADS, now=timezone.now())


def push_statuses(tenant_id: int) -> None:
    tenant = Tenant.objects.select_related("crm", "rule_version").get(pk=tenant_id)
    status_sync.push(tenant, now=timezone.now())


def probe(tenant_id: int) -> None:
    """Ask the CRM whether it accepts our key: to confirm a denial, or because it may be over.

    After a suspension the module is registered again; one that people switched off stays off. In another account than
    before, employees are linked at once.
    """

    def reconnect(tenant: Tenant) -> None:
        was_suspended = tenant.crm.suspension is not None
        key_verification.verify_crm_key(tenant.crm)
        client = client_factory.crm_client(tenant.crm)
        if was_suspended and not module_state.is_kept_off(tenant, client, now=timezone.now()):
            integration_module.register(tenant, client, now=timezone.now(), is_forced=True)
            tenant.crm.lift(http_client.MODULE)
        elif tenant.is_live and tenant.crm.registered_at is None:
            user_linking.link(tenant, now=timezone.now())

    _run_for_tenant(tenant_id, reconnect, is_probe=True)


def enqueue_due_work() -> None:
    """Every minute: enqueue what was lost, left by a dead worker, or must be read again."""
    sweeps.run_all(
        Popup.objects.fail_unsent,
        Popup.objects.forget_unclosed,
        popup_ends.enqueue_due,
        commands.resume_pending,
        click_refusals.enqueue_due,
        user_linking.enqueue_due,
        outdated_modules.enqueue_due,
        upload_verification.enqueue_due,
        now=timezone.now(),
    )


def probe_all() -> None:
    """Every five minutes: probe the CRM connections that are suspended, and the addresses that the CRM reported."""
    CrmConnection.forget_unused(now=timezone.now())
    renamed_accounts.enqueue_due()
    periodic_work.begin(PROBE, now=timezone.now())


VERIFY_UPLOADS = PeriodicWork(
    task=upload_verification.TASK,
    minutes=60,
    clients=lambda: Tenant.objects.live().filter(crm__denied_at=None),
    is_needed=lambda tenant, now: upload_verification.has_uploaded_lately(tenant, now=now),
    together=25,
)
PROBE = PeriodicWork(
    task=CrmConnection.PROBE_TASK,
    minutes=5,
    clients=lambda: Tenant.objects.live().filter(crm__denied_at__isnull=False),
)
PERIODIC_WORK = (VERIFY_UPLOADS, PROBE)


_TENANTS: CompiledSelect[Tenant] = CompiledSelect(
    lambda given: (
        Tenant.objects.select_related("uis", "crm", "rule_version").filter(pk__in=given.integers("pks")).order_by()
    ),
    lists=["pks"],
)


def _run_for_tenant(tenant_id: int, request: Callable[[Tenant], object], *, is_probe: bool = False) -> None:
    _run(_TENANTS.get(pks=[tenant_id]), request, is_probe=is_probe)


def _run(tenant: Tenant, request: Callable[[Tenant], object], *, is_probe: bool = False) -> None:
    """Call the CRM for a periodic task: errors are logged and not retried."""
    if tenant.offboarded_at is not None:
        return  # Queued before the client was disconnected.
    bind_contextvars(tenant=tenant.slug)
    try:
        request(tenant)
    except (http_client.RemoteError, check_results.CheckFailed) as exc:
        tenant.crm.record_denial(exc, is_confirmed=is_probe, now=timezone.now())
        logger.warning("request failed", error=f"{type(exc).__name__}: {exc}")
