"""Accounts whose CRM reports another URL: renamed ones take it and wait for their key, other hosts change nothing.

An account has a public and a technical host, and may report either. Whatever names a new one, the stored key never
goes there: who has learned our URL and the `clientId` could else choose where it is sent.
"""

from datetime import datetime

from django.db import transaction

from connector_project.core import http_client, logging
from connector_project.core.task_queue import enqueue
from crm import key_verification
from tenants import account_claims
from tenants.models import CrmConnection, Tenant

TASK = "crm.tasks.look_at_reported_address"

logger = logging.logger(__name__)
security = logging.logger("connector.security")


@transaction.atomic
def request_look(connection: CrmConnection, address: str) -> None:
    """Store a valid URL of an account, and queue the look at it; the sweep repeats that until it is done."""
    reported = "" if address == connection.account else address
    if reported != connection.reported_address:
        connection.reported_address = reported
        connection.save(update_fields=["reported_address"])
    if reported:
        enqueue(TASK, connection.tenant_id)


def enqueue_due() -> None:
    """Look again where the reported host did not answer, and where the task was lost."""
    Tenant.objects.filter(offboarded_at=None).exclude(crm__reported_address="").enqueue_each(TASK)


def look(tenant_id: int, *, now: datetime) -> None:
    """Ask the reported host, without a key, which account it is; store its public URL if it is not ours."""
    reported = CrmConnection.objects.values_list("reported_address", flat=True).get(tenant=tenant_id)
    if not reported:
        return
    asked = CrmConnection(tenant=Tenant(), address=reported)
    try:
        public = key_verification.public_address(asked)
    except http_client.RemoteUnavailable as exc:
        logger.warning("the reported address does not answer", error=str(exc))
        return
    _decide(tenant_id, reported, public, now=now)


@transaction.atomic
def _decide(tenant_id: int, reported: str, public: str, *, now: datetime) -> None:
    tenant = Tenant.objects.lock(tenant_id)
    if tenant is None or tenant.offboarded_at or tenant.crm.reported_address != reported:
        return
    connection = tenant.crm
    connection.reported_address = ""
    connection.save(update_fields=["reported_address"])
    if public == connection.account or account_claims.crm_account_id(public) == connection.account_id:
        return
    if account_claims.find_same_address(connection, public):
        security.warning("the CRM sent the systemUrl of another client's account", tenant=tenant.slug)
        return
    connection.rename(public, now=now)
    security.warning("the CRM account was renamed: its key must be entered again", tenant=tenant.slug)
