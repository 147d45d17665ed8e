"""Tasks and schedules of this app: load the rows, make one call."""

import logging
from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from connector_project.core import check_results, http_client
from connector_project.core.task_queue import enqueue
from crm import (
    callbacks,
    client_factory,
    commands,
    integration_module,
    key_verification,
    popups,
    status_sync,
    upload_verification,
    uploads,
    user_linking,
)
from crm.models import Command
from crm.retailcrm.errors import SCOPE, SYSTEM, TELEPHONY_OFF
from telephony import task_names
from telephony.models import Call, Notification, State
from tenants.models import Tenant

VERIFY_UPLOADS = "crm.tasks.verify_uploads"

logger = logging.getLogger(__name__)


def open_popup(notification_id: int) -> None:
    popups.open(_notification(notification_id), now=timezone.now())


def close_popups(notification_id: int) -> None:
    popups.close(_notification(notification_id), now=timezone.now())


def find_owners(tenant_id: int) -> None:
    """Look up the managers of missed callers."""
    now = timezone.now()
    if batch := Call.objects.claim(tenant_id, Call.State.RESOLVING_OWNER, limit=uploads.OWNERS_BATCH, now=now):
        uploads.find_owners(batch, now=now)
        _enqueue_if_due(task_names.RESOLVE_OWNERS, tenant_id, Call.State.RESOLVING_OWNER)


def upload_calls(tenant_id: int) -> None:
    now = timezone.now()
    if batch := Call.objects.claim(tenant_id, Call.State.READY, limit=uploads.BATCH, now=now):
        is_full = len(batch) == uploads.BATCH
        if is_full:  # Another worker may upload the next batch meanwhile.
            _enqueue_if_due(task_names.UPLOAD_CALLS, tenant_id, Call.State.READY)
        uploads.upload(batch, now=now)
        # A task that found no free slot has ended without work, so the last running one enqueues the next.
        if not is_full or not Call.objects.count_claimed(tenant_id, Call.State.READY, now=timezone.now()):
            _enqueue_if_due(task_names.UPLOAD_CALLS, tenant_id, Call.State.READY)


def run_command(command_id: int) -> None:
    command = Command.objects.select_related("tenant__uis", "tenant__rules", "employee__tenant__uis").get(pk=command_id)
    commands.run(command, now=timezone.now())


def link_users(tenant_id: int) -> None:
    tenant = _tenant(tenant_id)
    _run_for_tenant(tenant, lambda: user_linking.link(tenant, now=timezone.now()))


def register_module(tenant_id: int) -> None:
    """Register our URLs after they changed; if that fails, the hourly sync does it."""
    tenant = _tenant(tenant_id)

    def register() -> None:
        client = client_factory.crm_client(tenant.crm)
        integration_module.register(
            tenant, client, typed=integration_module.manual_codes(tenant, client), now=timezone.now()
        )

    _run_for_tenant(tenant, register)


def verify_uploads(tenant_id: int) -> None:
    """Verify that uploaded calls are in the CRM."""
    tenant = _tenant(tenant_id)
    if upload_verification.is_due(tenant, now=timezone.now()):
        _run_for_tenant(tenant, lambda: upload_verification.verify(tenant, now=timezone.now()))


def verify_uploads_all() -> None:
    """Every hour: enqueue one task per client whose CRM connection is not suspended."""
    with transaction.atomic():
        live = Tenant.objects.filter(activated_at__isnull=False, is_paused=False, crm__denied_at=None)
        for tenant_id in live.values_list("pk", flat=True):
            enqueue(VERIFY_UPLOADS, tenant_id)


def push_statuses(tenant_id: int) -> None:
    status_sync.push(_tenant(tenant_id), now=timezone.now())


def probe(tenant_id: int) -> None:
    """Check whether the CRM accepts us again, and register again; a module that users switched off stays off."""
    tenant = _tenant(tenant_id)

    def reconnect() -> None:
        key_verification.verify_crm_key(tenant.crm)
        client = client_factory.crm_client(tenant.crm)
        if callbacks.is_switched_off(tenant) and not integration_module.is_on(tenant, client):
            raise http_client.AccessDenied(SYSTEM, callbacks.SWITCHED_OFF, code=TELEPHONY_OFF)
        integration_module.register_again(tenant, client, now=timezone.now())
        tenant.crm.restore()

    _run_for_tenant(tenant, reconnect)


def enqueue_due_work() -> None:
    """Every minute: enqueue commands whose queue entry was lost or whose worker died."""
    commands.resume_pending(now=timezone.now())


def probe_all() -> None:
    """Every five minutes: probe the CRM connections that are suspended."""
    with transaction.atomic():
        suspended = Tenant.objects.filter(activated_at__isnull=False, is_paused=False, crm__denied_at__isnull=False)
        for tenant_id in suspended.values_list("pk", flat=True):
            enqueue(callbacks.PROBE, tenant_id)


def _notification(pk: int) -> Notification:
    return Notification.objects.select_related("tenant__uis", "tenant__crm", "tenant__rules").get(pk=pk)


def _tenant(pk: int) -> Tenant:
    return Tenant.objects.select_related("uis", "crm", "rules").get(pk=pk)


def _enqueue_if_due(task: str, tenant_id: int, state: State) -> None:
    """Enqueue the next batch if more is due, after other clients' work."""
    if Call.objects.due(now=timezone.now()).filter(tenant=tenant_id, state=state).exists():
        with transaction.atomic():
            enqueue(task, tenant_id)


def _run_for_tenant(tenant: Tenant, call: Callable[[], object]) -> None:
    """Call the CRM for a periodic task: errors are logged and not retried."""
    if tenant.offboarded_at is not None:
        return  # Queued before the client was disconnected.
    try:
        call()
    except (http_client.RemoteError, check_results.CheckFailed) as exc:
        # A missing scope only affects this feature; an invalid key or account suspends the connection.
        if isinstance(exc, http_client.AccessDenied) and exc.code != SCOPE:
            tenant.crm.suspend(exc.code, str(exc), now=timezone.now())
        logger.warning("tenant=%s %s: %s", tenant.slug, type(exc).__name__, exc)
    else:
        # An answer does not prove that our module is switched on there: only the probe checks that.
        if tenant.crm.denied_code != TELEPHONY_OFF:
            tenant.crm.restore()
