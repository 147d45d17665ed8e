"""Checks of a client's CRM account: address, key, API version, time zone; and of our own address."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from connector_project.core import http_client
from connector_project.core.check_results import Check, CheckResult, Responsible
from crm.api_scopes import KEYS
from crm.retailcrm import errors
from crm.retailcrm.client import V4, V5, RetailCrmClient
from tenants import account_claims
from tenants.access_errors import AccessError
from tenants.account_claims import CRM_USED
from tenants.account_url import NOT_AN_ACCOUNT, is_account_url
from tenants.models import CrmConnection, Tenant
from tenants.rules import StatusSync

# API version -> prefix of the CRM's version numbers.
SERVED = {V5: "5.", V4: "4."}

PUBLIC_ADDRESS = Check(
    code="PUBLIC_ADDRESS",
    responsible=Responsible.OPERATOR,
    passed=_("Our own URL is public."),
    failed=_("Our own URL %(address)s is not public. Set PUBLIC_URL to a public https:// URL."),
)


def public_address() -> CheckResult:
    """Check whether our own URL is reachable from the internet."""
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    is_public = settings.PUBLIC_URL.startswith("https://") and "." in host and not http_client.is_private_literal(host)
    is_public = is_public or http_client.is_trusted(settings.PUBLIC_URL)
    return PUBLIC_ADDRESS.result(is_ok=is_public, address=settings.PUBLIC_URL)


KEY_GIVEN = Check(
    code="CRM_KEY_GIVEN",
    passed=_("The address and the API key of the CRM are entered."),
    failed=_("The address or the API key of the CRM is missing. Create a key and enter both."),
    where=KEYS,
)


def is_given(connection: CrmConnection) -> CheckResult:
    return KEY_GIVEN.result(is_ok=bool(connection.address and connection.key))


ADDRESS = Check(
    code="CRM_ADDRESS",
    passed=_("The address belongs to a CRM account."),
    failed=NOT_AN_ACCOUNT,
)


def is_account_address(address: str) -> CheckResult:
    """Check whether our key may be sent to this address."""
    return ADDRESS.result(is_ok=is_account_url(address), address=address)


# The errors that deny all access, and the check each one fails.
DENIALS = {
    errors.ACCOUNT: Check(
        code="CRM_ACCOUNT",
        passed=_("There is a CRM account at the address."),
        failed=_("There is no CRM account at %(address)s. Open the CRM and copy the address from the browser."),
    ),
    errors.KEY: Check(code="CRM_KEY", passed=_("The CRM accepts the API key."), failed=AccessError.CRM_KEY.label),
}
ANSWERS = Check(
    code="CRM_ANSWERS",
    responsible=Responsible.CRM,
    passed=_("The CRM answers."),
    failed=_("The CRM returned an error: %(error)s Try again in a few minutes."),
)
ACCOUNT_USED = Check(
    code="CRM_ACCOUNT_USED",
    responsible=Responsible.OPERATOR,
    passed=_("No other client uses this CRM account."),
    failed=CRM_USED,
)
ACCESS_CHECKS = (*DENIALS.values(), ANSWERS)


def refused(exc: http_client.RemoteError, connection: CrmConnection) -> CheckResult:
    """Return the failed check for an error of the CRM."""
    known = DENIALS | {AccessError.ACCOUNT_USED: ACCOUNT_USED, AccessError.NOT_CRM: ADDRESS}
    return known.get(exc.code, ANSWERS).result(is_ok=False, error=exc, address=connection.address)


def is_free(tenant: Tenant) -> CheckResult:
    """Check that no other client has the same CRM account; both fail where two had it before this was refused."""
    return ACCOUNT_USED.result(is_ok=account_claims.find_same_address(tenant.crm, tenant.crm.address) is None)


VERSION = Check(
    code="CRM_VERSION",
    responsible=Responsible.CRM,
    passed=_("The CRM supports API version %(version)s."),
    failed=_("The CRM supports neither API version 5 nor 4. Contact retailCRM support."),
)


def version(connection: CrmConnection, served: tuple[str, ...]) -> CheckResult:
    """Check whether the configured API version, or any we support, is available."""
    available = served_version(connection, served)
    return VERSION.result(is_ok=bool(available), version=available)


STATUS_SYNC = Check(
    code="CRM_STATUS_SYNC",
    responsible=Responsible.OPERATOR,
    passed=_("The rule of statuses needs nothing that API version %(version)s of the CRM lacks."),
    failed=_(
        "The CRM is used by API version 4 only, which takes no statuses: those of UIS do not reach the CRM. Choose "
        "another rule of statuses, or ask retailCRM support for version 5."
    ),
    where=_("Admin: the client → Statuses."),
)


def status_sync(tenant: Tenant, served: tuple[str, ...]) -> Iterator[CheckResult]:
    """Check that the CRM takes statuses if it is to get them: only version 5 has a method for that."""
    if version := served_version(tenant.crm, served):
        is_sent = tenant.rules.status_sync == StatusSync.BOTH
        yield STATUS_SYNC.result(is_ok=not is_sent or version != V4, version=version)


def served_version(connection: CrmConnection, served: tuple[str, ...]) -> str:
    """Return the newest version both sides support, or the configured one if available; else ""."""
    wanted = SERVED if connection.version == CrmConnection.Version.AUTO else (connection.version,)
    return next((ours for ours in wanted if any(number.startswith(SERVED[ours]) for number in served)), "")


TIME_ZONE = Check(
    code="CRM_TIME_ZONE",
    passed=_("CRM time zone: %(zone)s."),
    failed=_("The CRM's time zone is unknown, so call times may be wrong. Enable the permission reference_read."),
    where=KEYS,
)


def time_zone(client: RetailCrmClient) -> Iterator[CheckResult]:
    zone = client.time_zone()
    yield TIME_ZONE.result(is_ok=bool(zone), zone=zone)
