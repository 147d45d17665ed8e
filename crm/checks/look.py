"""Checks of a client's CRM account: URL, key, our module, other telephony."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings

from connector_project import origins, remote
from crm import clients, lines, module, scopes
from crm.address import fault
from crm.checks import words
from crm.retailcrm import refusals
from crm.retailcrm.client import V4, V5, RetailCrmClient
from crm.retailcrm.types import Rights
from tenants.finding import Finding, bad, good, listed, of
from tenants.models import CrmConnection, Employee, Tenant, TransferRules, VirtualNumber

# API version -> prefix of the CRM's version numbers.
SERVED = {V5: "5.", V4: "4."}
# Error code -> failed check.
DOORS = {refusals.KEY: words.KEY, refusals.ACCOUNT: words.ACCOUNT}
OPEN = (words.ACCOUNT, words.KEY, words.ANSWERS)
LATELY = timedelta(days=7)
Look = Callable[[], Iterator[Finding]]


def look(tenant: Tenant, *, now: datetime) -> Iterator[Finding]:
    """Run the checks; those that need access are left out if it is denied."""
    yield from public_address()
    if not (given := is_given(tenant.crm)).is_ok:
        yield given
        return
    yield given
    if not (address := is_account_address(tenant.crm.address)).is_ok:
        yield address
        return
    yield address
    client = clients.crm_client(tenant.crm, is_live=True)
    try:
        versions, rights = client.versions(), client.rights()
    except remote.RemoteError as exc:
        yield refused(exc, tenant.crm)
        return
    yield from (good(check) for check in OPEN)
    yield version(tenant.crm, versions)
    yield from rights_of(tenant, rights)
    yield from _stores(tenant, rights)
    if served_version(tenant.crm, versions):
        yield from _each(tenant, _further(tenant, client, now=now))
    if tenant.uis.synced_at:
        yield _links(tenant)


def is_given(connection: CrmConnection) -> Finding:
    return of(words.KEY_GIVEN, is_ok=bool(connection.address and connection.key))


def is_account_address(address: str) -> Finding:
    """Check whether our key may be sent to this address."""
    is_wrong = fault(address, domains=settings.CRM_DOMAINS, is_trusted=remote.is_trusted(address))
    return of(words.ADDRESS, is_ok=not is_wrong, address=address)


def refused(exc: remote.RemoteError, connection: CrmConnection) -> Finding:
    """Return the failed check for an error of the CRM."""
    return bad(DOORS.get(exc.code, words.ANSWERS), says=exc, address=connection.address)


def lacking(scope: str) -> Finding:
    """Return the failed check of a missing scope."""
    return bad(words.SCOPES[scope], scope=scope)


def version(connection: CrmConnection, served: tuple[str, ...]) -> Finding:
    """Check whether the configured API version, or any we support, is available."""
    spoken = served_version(connection, served)
    return of(words.VERSION, is_ok=bool(spoken), version=spoken)


def served_version(connection: CrmConnection, served: tuple[str, ...]) -> str:
    """Return the newest version both sides support, or the configured one if available; else ""."""
    wanted = (
        SERVED if connection.version == CrmConnection.Version.AUTO else {connection.version: SERVED[connection.version]}
    )
    return next((ours for ours, prefix in wanted.items() if any(number.startswith(prefix) for number in served)), "")


def rights_of(tenant: Tenant, rights: Rights) -> Iterator[Finding]:
    """Check each scope; the one for statuses only if they are synced to the CRM."""
    lacking = scopes.missing(rights)
    for scope, check in words.SCOPES.items():
        if scope != "user_write" or tenant.rules.status_sync == TransferRules.StatusSync.BOTH:
            yield of(check, is_ok=scope not in lacking, scope=scope)


def public_address() -> Iterator[Finding]:
    """Check whether our own URL is reachable from the internet."""
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    is_fit = settings.PUBLIC_URL.startswith("https://") and "." in host and not origins.is_private_literal(host)
    is_fit = is_fit or remote.is_trusted(settings.PUBLIC_URL)
    yield of(words.PUBLIC_ADDRESS, is_ok=is_fit, address=settings.PUBLIC_URL)


def _stores(tenant: Tenant, rights: Rights) -> Iterator[Finding]:
    if not rights.sites:  # The key has access to all stores, or the CRM does not report them.
        return
    own = VirtualNumber.objects.filter(tenant=tenant, is_active=True)
    used = {*own.exclude(site="").values_list("site", flat=True), *filter(None, [tenant.crm.site])}
    out_of_reach = sorted(used - set(rights.sites))
    yield of(words.STORES, is_ok=not out_of_reach, stores=", ".join(out_of_reach))
    if len(rights.sites) > 1:
        without = [] if tenant.crm.site else list(own.filter(site=""))
        yield of(words.STORE_CHOSEN, is_ok=not without, numbers=listed(without))


def _each(tenant: Tenant, checks: Iterator[Look]) -> Iterator[Finding]:
    """Run all checks even if one is not permitted: the scope checks report that."""
    is_away = False
    for one in checks:
        try:
            yield from one()
        except remote.RemoteError as exc:
            if exc.code not in {refusals.SCOPE, refusals.METHOD_ABSENT} and not is_away:
                is_away = True
                yield refused(exc, tenant.crm)


def _further(tenant: Tenant, client: RetailCrmClient, *, now: datetime) -> Iterator[Look]:
    yield lambda: _time_zone(client)
    if tenant.activated_at:  # Before activation there is no module yet.
        yield lambda: _module(tenant, client)
    yield lambda: _others(client, now=now)


def _time_zone(client: RetailCrmClient) -> Iterator[Finding]:
    zone = client.time_zone()
    yield of(words.TIME_ZONE, is_ok=bool(zone), zone=zone)


def _module(tenant: Tenant, client: RetailCrmClient) -> Iterator[Finding]:
    state = client.module(module.code(tenant))
    yield of(words.MODULE_REGISTERED, is_ok=state is not None)
    if state is not None:
        yield of(words.MODULE_FROZEN, is_ok=not state.is_frozen)
        yield of(words.MODULE_ACTIVE, is_ok=state.is_on)
        foreign = module.strange_addresses(tenant, state)
        yield of(words.MODULE_ADDRESSES, is_ok=not foreign, fields=", ".join(foreign))


def _links(tenant: Tenant) -> Finding:
    unlinked = Employee.objects.filter(tenant=tenant, is_dismissed=False, crm_user_id=None)
    names = list(unlinked.exclude(linked_by=Employee.LinkedBy.NOT_NEEDED).values_list("full_name", flat=True))
    return of(words.USERS_LINKED, is_ok=not names, names=listed(names))


def _others(client: RetailCrmClient, *, now: datetime) -> Iterator[Finding]:
    """Look for calls in the account's history that were not uploaded by this connector, for any client."""
    recent = [call for call in client.history() if call.began_at is None or call.began_at > now - LATELY]
    count = sum(1 for call in recent if call.external_id and not lines.is_ours(call.external_id))
    yield of(words.OTHER_TELEPHONY, is_ok=not count, count=count)
