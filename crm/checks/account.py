"""Checks of a client's CRM account: URL, key, our module, other telephony."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings

from connector_project.core import http_client, origins
from connector_project.core.check_results import CheckResult, failed, join_limited, passed, result
from crm import api_scopes, call_records, client_factory, integration_module
from crm.account_url import validation_error
from crm.checks import definitions
from crm.retailcrm import errors
from crm.retailcrm.client import V4, V5, RetailCrmClient
from crm.retailcrm.types import Rights
from tenants.models import CrmConnection, Employee, Tenant, TransferRules, VirtualNumber

# API version -> prefix of the CRM's version numbers.
SERVED = {V5: "5.", V4: "4."}
# Error code -> failed check.
ACCOUNT_ERROR_CHECKS = {errors.KEY: definitions.KEY, errors.ACCOUNT: definitions.ACCOUNT}
ACCOUNT_CHECKS = (definitions.ACCOUNT, definitions.KEY, definitions.ANSWERS)
RECENT_PERIOD = timedelta(days=7)
RunCheck = Callable[[], Iterator[CheckResult]]


def run_checks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Run the checks; those that need access are left out if it is denied."""
    yield from public_address()
    if not (given := is_given(tenant.crm)).ok:
        yield given
        return
    yield given
    if not (address := is_account_address(tenant.crm.address)).ok:
        yield address
        return
    yield address
    client = client_factory.crm_client(tenant.crm, is_live=True)
    try:
        versions, rights = client.versions(), client.rights()
    except http_client.RemoteError as exc:
        yield refused(exc, tenant.crm)
        return
    yield from (passed(check) for check in ACCOUNT_CHECKS)
    yield version(tenant.crm, versions)
    yield from rights_of(tenant, rights)
    yield from _stores(tenant, rights)
    if served_version(tenant.crm, versions):
        yield from _run_all(tenant, _further(tenant, client, now=now))
    if tenant.uis.synced_at:
        yield _links(tenant)


def is_given(connection: CrmConnection) -> CheckResult:
    return result(definitions.KEY_GIVEN, is_ok=bool(connection.address and connection.key))


def is_account_address(address: str) -> CheckResult:
    """Check whether our key may be sent to this address."""
    is_wrong = validation_error(address, domains=settings.CRM_DOMAINS, is_trusted=http_client.is_trusted(address))
    return result(definitions.ADDRESS, is_ok=not is_wrong, address=address)


def refused(exc: http_client.RemoteError, connection: CrmConnection) -> CheckResult:
    """Return the failed check for an error of the CRM."""
    return failed(ACCOUNT_ERROR_CHECKS.get(exc.code, definitions.ANSWERS), error=exc, address=connection.address)


def missing_scope(scope: str) -> CheckResult:
    """Return the failed check of a missing scope."""
    return failed(definitions.SCOPES[scope], scope=scope)


def version(connection: CrmConnection, served: tuple[str, ...]) -> CheckResult:
    """Check whether the configured API version, or any we support, is available."""
    available = served_version(connection, served)
    return result(definitions.VERSION, is_ok=bool(available), version=available)


def served_version(connection: CrmConnection, served: tuple[str, ...]) -> str:
    """Return the newest version both sides support, or the configured one if available; else ""."""
    wanted = (
        SERVED if connection.version == CrmConnection.Version.AUTO else {connection.version: SERVED[connection.version]}
    )
    return next((ours for ours, prefix in wanted.items() if any(number.startswith(prefix) for number in served)), "")


def rights_of(tenant: Tenant, rights: Rights) -> Iterator[CheckResult]:
    """Check each scope; the one for statuses only if they are synced to the CRM."""
    lacking = api_scopes.missing(rights)
    for scope, check in definitions.SCOPES.items():
        if scope != "user_write" or tenant.rules.status_sync == TransferRules.StatusSync.BOTH:
            yield result(check, is_ok=scope not in lacking, scope=scope)


def public_address() -> Iterator[CheckResult]:
    """Check whether our own URL is reachable from the internet."""
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    is_public = settings.PUBLIC_URL.startswith("https://") and "." in host and not origins.is_private_literal(host)
    is_public = is_public or http_client.is_trusted(settings.PUBLIC_URL)
    yield result(definitions.PUBLIC_ADDRESS, is_ok=is_public, address=settings.PUBLIC_URL)


def _stores(tenant: Tenant, rights: Rights) -> Iterator[CheckResult]:
    if not rights.sites:  # The key has access to all stores, or the CRM does not report them.
        return
    own = VirtualNumber.objects.filter(tenant=tenant, is_active=True)
    used = {*own.exclude(site="").values_list("site", flat=True), *filter(None, [tenant.crm.site])}
    out_of_reach = sorted(used - set(rights.sites))
    yield result(definitions.STORES, is_ok=not out_of_reach, stores=", ".join(out_of_reach))
    if len(rights.sites) > 1:
        without = [] if tenant.crm.site else list(own.filter(site=""))
        yield result(definitions.STORE_CHOSEN, is_ok=not without, numbers=join_limited(without))


def _run_all(tenant: Tenant, checks: Iterator[RunCheck]) -> Iterator[CheckResult]:
    """Run all checks even if one is not permitted: the scope checks report that."""
    is_away = False
    for one in checks:
        try:
            yield from one()
        except http_client.RemoteError as exc:
            if exc.code not in {errors.SCOPE, errors.METHOD_ABSENT} and not is_away:
                is_away = True
                yield refused(exc, tenant.crm)


def _further(tenant: Tenant, client: RetailCrmClient, *, now: datetime) -> Iterator[RunCheck]:
    yield lambda: _time_zone(client)
    if tenant.activated_at:  # Before activation there is no module yet.
        yield lambda: _module(tenant, client)
    yield lambda: _other_telephony(client, now=now)


def _time_zone(client: RetailCrmClient) -> Iterator[CheckResult]:
    zone = client.time_zone()
    yield result(definitions.TIME_ZONE, is_ok=bool(zone), zone=zone)


def _module(tenant: Tenant, client: RetailCrmClient) -> Iterator[CheckResult]:
    state = client.module(integration_module.code(tenant))
    yield result(definitions.MODULE_REGISTERED, is_ok=state is not None)
    if state is not None:
        yield result(definitions.MODULE_FROZEN, is_ok=not state.is_frozen)
        yield result(definitions.MODULE_ACTIVE, is_ok=state.is_on)
        foreign = integration_module.foreign_urls(tenant, state)
        yield result(definitions.MODULE_ADDRESSES, is_ok=not foreign, fields=", ".join(foreign))


def _links(tenant: Tenant) -> CheckResult:
    names = list(Employee.objects.filter(tenant=tenant).unlinked().values_list("full_name", flat=True))
    return result(definitions.USERS_LINKED, is_ok=not names, names=join_limited(names))


def _other_telephony(client: RetailCrmClient, *, now: datetime) -> Iterator[CheckResult]:
    """Look for calls in the account's history that were not uploaded by this connector, for any client."""
    recent = [call for call in client.history() if call.started_at is None or call.started_at > now - RECENT_PERIOD]
    count = sum(1 for call in recent if call.external_id and not call_records.is_ours(call.external_id))
    yield result(definitions.OTHER_TELEPHONY, is_ok=not count, count=count)
