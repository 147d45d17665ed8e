"""Set-up checks of the CRM and of our own configuration."""

from collections.abc import Iterator
from datetime import datetime

from connector_project.core import http_client
from connector_project.core.check_results import CheckResult
from crm import api_scopes, client_factory
from crm.checks import account, module, staff
from crm.checks.account import is_account_address, is_given, refused, served_version, version
from crm.retailcrm import errors
from crm.retailcrm.client import RetailCrmClient
from tenants.models import CrmConnection, Tenant

__all__ = ["is_account_address", "is_given", "refused", "run_checks", "served_version", "version"]


def run_checks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Run the checks; those that need access are left out if it is denied. A code may come more than once."""
    yield account.public_address()
    for check in (is_given(tenant.crm), is_account_address(tenant.crm.address)):
        yield check
        if not check.ok:
            return
    yield account.is_free(tenant)
    client = client_factory.crm_client(tenant.crm, is_live=True)
    try:
        versions, rights = client.versions(), client.rights()
    except http_client.RemoteError as exc:
        yield refused(exc, tenant.crm)
        return
    if _follow_version(tenant.crm, served_version(tenant.crm, versions)):
        client = client_factory.crm_client(tenant.crm, is_live=True)
    yield from (check.result(is_ok=True) for check in account.ACCESS_CHECKS)
    yield version(tenant.crm, versions)
    yield from account.status_sync(tenant, versions)
    yield from api_scopes.needed(tenant, rights)
    yield from staff.stores(tenant, rights)
    if served_version(tenant.crm, versions):
        yield from _further_checks(tenant, client, now=now)
    yield from staff.links(tenant)


def _follow_version(connection: CrmConnection, served: str) -> bool:
    """Store the API version to use if the account has lost or got one since; return whether it has changed."""
    if not (served and connection.served_version) or served == connection.served_version:
        return False
    connection.served_version = served
    connection.save(update_fields=["served_version"])
    return True


def _further_checks(tenant: Tenant, client: RetailCrmClient, *, now: datetime) -> Iterator[CheckResult]:
    # Generators: each sends its requests only when its results are read.
    for results in (account.time_zone(client), module.state(tenant, client), module.other_telephony(client, now=now)):
        try:
            yield from results
        except http_client.RemoteError as exc:
            if exc.code not in {errors.SCOPE, errors.METHOD_ABSENT}:  # The scope checks report these.
                yield refused(exc, tenant.crm)
            if isinstance(exc, http_client.RemoteUnavailable):
                return  # The other requests would only wait as long.
