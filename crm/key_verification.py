"""Verifies a key of the CRM and stores what the CRM reports about the account."""

from connector_project.core import http_client
from connector_project.core.check_results import require
from crm import api_scopes, checks, client_factory
from crm.retailcrm.errors import SYSTEM
from crm.retailcrm.types import Rights
from tenants import account_claims
from tenants.models import CrmConnection, Tenant
from tenants.models.connections import normalise_address


def verify_crm_key(connection: CrmConnection) -> None:
    """Verify the key; store API version, stores and time zone. Raises CheckFailed and RemoteError."""
    require(checks.is_given(connection))
    require(checks.is_account_address(connection.address))
    client = client_factory.crm_client(connection, is_live=True)
    served, rights = client.versions(), client.rights()
    require(checks.version(connection, served))
    connection.served_version = checks.served_version(connection, served)
    require_scopes(rights)
    zone = client_factory.crm_client(connection, is_live=True).time_zone()
    connection.stores = list(rights.sites)
    connection.save(update_fields=["served_version", "stores"])
    if zone:  # Otherwise it may have been entered meanwhile.
        connection.time_zone = zone
        connection.save(update_fields=["time_zone"])
    account_claims.claim(connection, account_claims.crm_account_id(public_address(connection)), system=SYSTEM)


def public_address(connection: CrmConnection) -> str:
    """Return the account's public URL if it reports a valid one, else the given one: an account has several hosts."""
    if http_client.is_trusted(connection.address):
        # A host set by the operator, such as a test server: it may report the URL of somebody's real account.
        return connection.address
    anonymous = CrmConnection(tenant=Tenant(), address=connection.address)
    try:
        public = normalise_address(client_factory.crm_client(anonymous, is_live=True).public_address())
    except http_client.RemoteUnavailable:
        raise
    except http_client.RemoteError:
        return connection.address
    return public if checks.is_account_address(public).ok else connection.address


def require_scopes(rights: Rights) -> None:
    """Raise CheckFailed if the key certainly lacks a scope that activation needs."""
    for scope in api_scopes.required(rights):
        require(scope)
