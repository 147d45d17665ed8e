"""Builds a RetailCrmClient for a connection: rate limit and circuit breaker included."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from django.utils import timezone

from connector_project.core import exchanges, http_client
from connector_project.core.encrypted_fields import UndecryptableText
from connector_project.core.rate_limit import RateLimit, RateLimitExceeded, acquire
from crm.retailcrm.client import EVENT_RIGHT, UPLOAD_RIGHT, V4, V5, RetailCrmClient
from crm.retailcrm.errors import SYSTEM
from telephony.models import Call, FailureReason
from telephony.models.choices import CRM_STATES
from tenants.access_errors import key_missing, key_undecryptable, not_crm
from tenants.account_url import is_account_url
from tenants.models import CrmConnection

# https://docs.retailcrm.ru/Developers/API/APIFeatures/APIRules; the telephony limit is that of the vendor's own client.
PER_SECOND = {"ordinary": 10, "telephony": 40}
# These answer that telephony is off where our module is not switched on.
_ALSO_PROVEN = {EVENT_RIGHT: (http_client.MODULE,), UPLOAD_RIGHT: (http_client.MODULE,)}


def crm_client(connection: CrmConnection, *, is_live: bool = False) -> RetailCrmClient:
    """Return a client for this account; live requests have priority in the account's rate limit.

    Raises AccessDenied if the stored key is missing, cannot be decrypted, or must not be sent to the address: this is
    the only place that builds clients. An unsaved connection may have no key: it asks what needs none.
    """
    if connection.address and not is_account_url(connection.address):
        raise not_crm(SYSTEM)
    if isinstance(connection.key, UndecryptableText):
        raise key_undecryptable(SYSTEM)
    if connection.pk and not connection.key:
        raise key_missing(SYSTEM)
    return RetailCrmClient(
        address=connection.address,
        key=connection.key,
        version=version_of(connection),
        zone=connection.zone,
        guard=functools.partial(_guard, connection, is_live=is_live),
        send=exchanges.recorded(secret=connection.key),
    )


def version_of(connection: CrmConnection) -> str:
    """Return the API version to use: the configured one, else the detected one."""
    if connection.version != CrmConnection.Version.AUTO:
        return connection.version
    return V4 if connection.served_version == V4 else V5


def takes_statuses(connection: CrmConnection) -> bool:
    """Return whether the CRM can be told statuses: version 4 has no method for it."""
    return version_of(connection) != V4


@contextmanager
def _guard(connection: CrmConnection, kind: str, right: str, *, is_live: bool) -> Iterator[None]:
    """Keep a request within the rate limit; record in the circuit breaker how it ends, and what access that proves."""
    _pace(connection.address, kind, is_live=is_live)
    try:
        yield
    except http_client.RemoteUnavailable as exc:
        connection.record_failure(wait=exc.wait, is_live=is_live, now=timezone.now())
        raise
    except http_client.RemoteRejected:
        _record_answer(connection, right)
        raise
    except http_client.RemoteError:
        _record_answer(connection)
        raise
    else:
        _record_answer(connection, *((right, http_client.ACCOUNT, *_ALSO_PROVEN.get(right, ())) if right else ()))


def _record_answer(connection: CrmConnection, *proven: str) -> None:
    """When the CRM answers again, or allows what it denied, make the waiting calls due."""
    if connection.record_success(*proven):
        reasons = (FailureReason.CRM_UNAVAILABLE, FailureReason.CRM_DENIED)
        Call.objects.make_due(connection.tenant_id, CRM_STATES, reasons, now=timezone.now())


def _pace(address: str, kind: str, *, is_live: bool) -> None:
    """Wait for a rate-limit slot. The limit is per account: two clients may share one."""
    try:
        acquire(_limit(address, kind), is_live=is_live)
    except RateLimitExceeded as exc:
        raise http_client.RemoteUnavailable(SYSTEM, "The account's rate limit is exhausted for now.", wait=5.0) from exc


@functools.lru_cache(maxsize=1000)
def _limit(address: str, kind: str) -> RateLimit:
    return RateLimit(f"{urlsplit(address).hostname}:{kind}", PER_SECOND[kind])
