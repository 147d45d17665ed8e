"""Builds a RetailCrmClient for a connection: rate limit and circuit breaker included."""

from urllib.parse import urlsplit

from django.utils import timezone

from connector_project import remote
from connector_project.budget import Budget, BudgetExhausted, wait_for_turn
from crm.retailcrm.client import V4, V5, RetailCrmClient
from crm.retailcrm.refusals import SYSTEM
from telephony.models import Call, Cause
from telephony.models.words import OF_CRM
from tenants.models import CrmConnection

# https://docs.retailcrm.ru/Developers/API/APIFeatures/APIRules; the telephony limit is that of the vendor's own client.
PER_SECOND = {"ordinary": 10, "telephony": 40}


def crm_client(connection: CrmConnection, *, is_live: bool = False) -> RetailCrmClient:
    """Return a client for this account; live requests have priority in the account's rate limit."""
    return RetailCrmClient(
        address=connection.address,
        key=connection.key,
        version=version_of(connection),
        zone=connection.zone,
        pace=lambda kind: _pace(connection.address, kind, is_live=is_live),
        on_end=lambda fault: _heed(connection, fault, is_live=is_live),
    )


def version_of(connection: CrmConnection) -> str:
    """Return the API version to use: the configured one, else the detected one."""
    if connection.version != CrmConnection.Version.AUTO:
        return connection.version
    return V4 if connection.served_version == V4 else V5


def _heed(connection: CrmConnection, fault: remote.RemoteUnavailable | None, *, is_live: bool) -> None:
    """Record the outcome in the circuit breaker; when the CRM answers again, make the waiting calls due."""
    now = timezone.now()
    if fault is not None:
        connection.miss(wait=fault.wait, is_live=is_live, now=now)
    elif connection.answer():
        Call.objects.wake(connection.tenant_id, OF_CRM, Cause.CRM_UNAVAILABLE, now=now)


def _pace(address: str, kind: str, *, is_live: bool) -> None:
    """Wait for a rate-limit slot. The limit is per account: two clients may share one."""
    try:
        wait_for_turn(Budget(f"{urlsplit(address).hostname}:{kind}", PER_SECOND[kind]), is_live=is_live)
    except BudgetExhausted as exc:
        raise remote.RemoteUnavailable(SYSTEM, "The account's rate limit is exhausted for now.", wait=5.0) from exc
