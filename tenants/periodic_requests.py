"""Periodic requests to one vendor: what a task does around them."""

from collections.abc import Callable

from django.utils import timezone

from connector_project.core import logging
from connector_project.core.check_results import CheckFailed
from connector_project.core.http_client import RemoteError
from tenants.models import AccessError, Connection, Tenant

logger = logging.logger(__name__)


def run_for_tenant(tenant_id: int, connection_name: str, request: Callable[[Tenant], object]) -> None:
    """Send a periodic request through the connection `uis` or `crm`.

    An error is logged, and not retried before the next period; denied access suspends the connection, success
    restores it.
    """
    tenant = Tenant.objects.select_related("uis", "crm", "rules").get(pk=tenant_id)
    if tenant.offboarded_at is not None:
        return  # It was queued before the tenant was disconnected.
    logging.bind(tenant=tenant.slug)
    connection: Connection = getattr(tenant, connection_name)
    try:
        request(tenant)
    except (RemoteError, CheckFailed) as exc:
        connection.suspend_if_denied(exc, now=timezone.now())
        logger.warning("request failed", error=f"{type(exc).__name__}: {exc}")
    else:
        # An answer does not prove that our module is switched on there: only the probe checks that.
        if connection.denied_code != AccessError.TELEPHONY_OFF:
            connection.restore()
