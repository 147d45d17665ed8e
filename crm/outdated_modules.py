"""Modules in the CRM that lack our present URLs or clientId: registered again until the CRM has them."""

from datetime import datetime

from django.db import transaction

from connector_project.core.task_queue import enqueue
from crm.integration_module import TASK
from tenants.models import Tenant


@transaction.atomic
def request_registration(tenant: Tenant, *, now: datetime, is_urgent: bool = False) -> None:
    """Queue the registration of changed URLs; the sweep repeats it until the CRM has them.

    Before the activation, which registers the module anyway, only if urgent, and if the CRM has our module.
    """
    if tenant.activated_at is None and not (is_urgent and tenant.crm.registered_at):
        return
    tenant.crm.mark_outdated(now=now)
    # If the CRM denies access, our module there is updated once access is back.
    if not tenant.crm.denied_at:
        enqueue(TASK, tenant.pk)


def enqueue_due(*, now: datetime) -> None:
    """Register again where the CRM did not answer, and where a worker died before it had registered."""
    outdated = Tenant.objects.filter(crm__module_outdated_since__isnull=False, crm__denied_at=None, offboarded_at=None)
    outdated.exclude(crm__retry_at__gt=now).enqueue_each(TASK)
