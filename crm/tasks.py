"""Tasks and schedules of this app: load the rows, make one call."""

from django.utils import timezone

from connector_project.core import http_client
from crm import (
    callbacks,
    client_factory,
    commands,
    integration_module,
    key_verification,
    status_sync,
    upload_verification,
    uploads,
    user_linking,
)
from crm.retailcrm.errors import SYSTEM, TELEPHONY_OFF
from tenants.models import Tenant
from tenants.periodic_requests import run_for_tenant

VERIFY_UPLOADS = "crm.tasks.verify_uploads"


def find_owners(tenant_id: int) -> None:
    uploads.find_owners_due(tenant_id, now=timezone.now())


def upload_calls(tenant_id: int) -> None:
    uploads.upload_due(tenant_id, now=timezone.now())


def run_command(command_id: int) -> None:
    commands.run(command_id, now=timezone.now())


def link_users(tenant_id: int) -> None:
    run_for_tenant(tenant_id, "crm", lambda tenant: user_linking.link(tenant, now=timezone.now()))


def register_module(tenant_id: int) -> None:
    """Register our URLs after they changed; if that fails, the hourly sync does it."""

    def register(tenant: Tenant) -> None:
        integration_module.register(tenant, client_factory.crm_client(tenant.crm), now=timezone.now())

    run_for_tenant(tenant_id, "crm", register)


def verify_uploads(tenant_id: int) -> None:
    """Verify that uploaded calls are in the CRM."""
    if upload_verification.is_due(tenant_id, now=timezone.now()):
        run_for_tenant(tenant_id, "crm", lambda tenant: upload_verification.verify(tenant, now=timezone.now()))


def verify_uploads_all() -> None:
    """Every hour: enqueue one task per client whose CRM connection is not suspended."""
    Tenant.objects.live().filter(crm__denied_at=None).enqueue_each(VERIFY_UPLOADS)


def push_statuses(tenant_id: int) -> None:
    tenant = Tenant.objects.select_related("crm", "rules").get(pk=tenant_id)
    status_sync.push(tenant, now=timezone.now())


def probe(tenant_id: int) -> None:
    """Check whether the CRM accepts us again, and register again; a module that users switched off stays off."""

    def reconnect(tenant: Tenant) -> None:
        key_verification.verify_crm_key(tenant.crm)
        client = client_factory.crm_client(tenant.crm)
        if callbacks.is_switched_off(tenant) and not integration_module.is_on(tenant, client):
            raise http_client.AccessDenied(SYSTEM, callbacks.SWITCHED_OFF, code=TELEPHONY_OFF)
        integration_module.register(tenant, client, now=timezone.now(), is_forced=True)
        tenant.crm.restore()

    run_for_tenant(tenant_id, "crm", reconnect)


def enqueue_due_work() -> None:
    """Every minute: enqueue commands whose queue entry was lost or whose worker died."""
    commands.resume_pending(now=timezone.now())


def probe_all() -> None:
    """Every five minutes: probe the CRM connections that are suspended."""
    Tenant.objects.live().filter(crm__denied_at__isnull=False).enqueue_each(callbacks.PROBE)
