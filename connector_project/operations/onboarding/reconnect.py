"""Replaces a key that a vendor no longer accepts: the link for it, and what a key must be to take its place."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from connector_project.core import http_client
from connector_project.core.check_results import CheckFailed, require
from connector_project.operations import try_now
from connector_project.operations.alerts import incidents
from connector_project.operations.checks import runner
from connector_project.operations.models import Incident
from crm import checks, client_factory, key_verification
from telephony import checks as uis_checks
from telephony import client_factory as uis_clients
from telephony.uis import errors as uis_errors
from tenants import account_claims, audit
from tenants.access_errors import AccessError
from tenants.models import (
    RECONNECT_LINK_LIFETIME,
    AuditLogEntry,
    Connection,
    CrmConnection,
    ReconnectLink,
    Tenant,
    UisConnection,
)

UIS, CRM = "uis", "crm"
# What another key can put right.
KEY_ERRORS = {
    AccessError.TOKEN_INVALID,
    AccessError.TOKEN_EXPIRED,
    AccessError.TOKEN_BLOCKED,
    AccessError.AUTH_ERROR,
    AccessError.CRM_KEY,
    AccessError.KEY_UNDECRYPTABLE,
    AccessError.KEY_MISSING,
}


class KeyRefused(Exception):
    """The key does not take the place of the old one; the text says why, in the client's words."""


class LinkEnded(Exception):
    """The link does not ask for this key any more: it was used, replaced or revoked, or the connection works again."""


@dataclass(frozen=True)
class _Verified:
    """A key that its vendor accepts, and the account that it was verified for."""

    key: str = field(repr=False)
    account: str  # identifies the account to which the old key belongs
    account_id: str = ""  # as the vendor states it


def broken(tenant: Tenant) -> list[str]:
    """Return the connections that are suspended because of their key: UIS, CRM."""
    return [name for name in (UIS, CRM) if getattr(tenant, name).denied_code in KEY_ERRORS]


def asked(link: ReconnectLink, tenant: Tenant) -> list[str]:
    """Return the connections whose key the link still asks for: not those that were denied again after it was made."""
    asks = {UIS: link.asks_uis, CRM: link.asks_crm}
    return [name for name in broken(tenant) if asks[name] and getattr(tenant, name).denied_at <= link.created_at]


def create_link(tenant: Tenant, *, now: datetime) -> ReconnectLink:
    """Create the link for the broken keys of a locked client; an older one stops working."""
    names = broken(tenant)
    ReconnectLink.objects.filter(tenant=tenant).delete()
    return ReconnectLink.objects.create(
        tenant=tenant, expires_at=now + RECONNECT_LINK_LIFETIME, asks_uis=UIS in names, asks_crm=CRM in names
    )


def url(link: ReconnectLink) -> str:
    return f"{settings.PUBLIC_URL}/reconnect/{link.token}/"


def replace_key(link: ReconnectLink, tenant: Tenant, name: str, key: str, *, now: datetime) -> None:
    """Verify a key at its vendor, store it, and start what waited. Raises KeyRefused and LinkEnded."""
    try:
        verified = _VERIFY[name](tenant, key)
        _store(link, name, verified, now=now)
    except CheckFailed as exc:
        raise KeyRefused(exc.result.message) from exc
    except http_client.RemoteError as exc:
        refused = uis_checks.refused(exc) if name == UIS else checks.refused(exc, tenant.crm)
        raise KeyRefused(refused.message) from exc


def _verify_uis(tenant: Tenant, key: str) -> _Verified:
    stored = tenant.uis
    # Unsaved, and of no client: what UIS answers says nothing about the stored key.
    candidate = UisConnection(
        tenant=Tenant(), brand=stored.brand, agent_user_id=stored.agent_user_id, time_zone=stored.time_zone
    )
    candidate.access_token = key
    account_id = uis_clients.uis_client(candidate, is_live=True).account().account_id
    if stored.account_id and account_id != stored.account_id:
        raise KeyRefused(_("This key is for another UIS account. Create one in the account that was connected."))
    return _Verified(key, _account(stored), account_id)


def _verify_crm(tenant: Tenant, key: str) -> _Verified:
    stored = tenant.crm
    require(checks.is_account_address(stored.address))
    candidate = CrmConnection(tenant=Tenant(), address=stored.address, version=stored.version, key=key)
    candidate.served_version, candidate.time_zone = stored.served_version, stored.time_zone
    key_verification.require_scopes(client_factory.crm_client(candidate, is_live=True).rights())
    return _Verified(key, _account(stored))


_VERIFY: dict[str, Callable[[Tenant, str], _Verified]] = {UIS: _verify_uis, CRM: _verify_crm}


def _account(connection: Connection) -> str:
    """Return what must not have changed between the verification of a key and its storing."""
    if isinstance(connection, UisConnection):
        return f"{connection.brand} {connection.agent_user_id} {connection.account_id}"
    return connection.account if isinstance(connection, CrmConnection) else ""


@transaction.atomic
def _store(link: ReconnectLink, name: str, verified: _Verified, *, now: datetime) -> None:
    """Replace the key, lift the denial, start what waited. Raises AccessDenied if another client has the account."""
    tenant = Tenant.objects.lock(link.tenant_id)
    current = ReconnectLink.objects.filter(pk=link.pk, token_digest=link.token_digest).first()
    if tenant is None or tenant.offboarded_at or current is None or not current.is_open(now=now):
        raise LinkEnded
    connection: Connection = getattr(tenant, name)
    if name not in asked(current, tenant) or _account(connection) != verified.account:
        raise LinkEnded
    if not connection.change(**{"access_token" if name == UIS else "key": verified.key}):
        connection.try_anew({"key": ""})  # It is the old key, which the vendor accepts again.
    account_claims.claim(connection, verified.account_id, system=uis_errors.SYSTEM)
    audit.log(tenant, AuditLogEntry.Action.KEY_SET, now=now, by_client=True, target=connection)
    if not asked(current, tenant):
        current.used_at = now
        current.save(update_fields=["used_at"])
    incidents.resolve(tenant, Incident.Kind.ACCESS_DENIED, f"{name}:", now=now)
    try_now.end_waits(tenant, now=now)
    runner.request_run(tenant, now=now)
