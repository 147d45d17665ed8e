"""Verifies a key of the CRM and stores what the CRM reports about the account."""

from connector_project.core.check_results import require
from crm import api_scopes, checks, client_factory
from crm.retailcrm.types import Rights
from tenants.models import CrmConnection


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
    connection.time_zone, connection.stores = zone or connection.time_zone, list(rights.sites)
    connection.save(update_fields=["served_version", "time_zone", "stores"])


def require_scopes(rights: Rights) -> None:
    """Raise CheckFailed if the key certainly lacks a scope that activation needs."""
    for scope in api_scopes.required(rights):
        require(scope)
