"""Checks on a client's UIS account: access, time zone, options and API quota."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext_lazy as _

from connector_project.core import http_client, time_zones
from connector_project.core.check_results import Check, CheckResult, Responsible
from telephony import api_quota
from telephony.uis.call_facts import REPORT_COLUMNS
from telephony.uis.client import UisClient
from telephony.uis.errors import LIMIT
from tenants import outbound_addresses
from tenants.access_errors import AccessError
from tenants.account_claims import UIS_USED
from tenants.models import Tenant, UisConnection, VirtualNumber

USERS = _("UIS: Administrator → User management.")
TARIFF = _("UIS: Account → Tariffs and options.")
INTEGRATION_PERIOD = timedelta(days=2)

KEY_GIVEN = Check(
    code="UIS_KEY_GIVEN",
    passed=_("The UIS key is entered."),
    failed=_("The UIS key is missing. Create one and enter it."),
    where=USERS,
)


def is_given(connection: UisConnection) -> CheckResult:
    return KEY_GIVEN.result(is_ok=bool(connection.access_token))


ANSWERS = Check(
    code="UIS_ANSWERS",
    responsible=Responsible.UIS,
    passed=_("UIS answers."),
    failed=_("UIS does not answer as it should: %(error)s Try again in a few minutes."),
)
DATA_API = Check(
    code="UIS_DATA_API",
    passed=_("The Data API answers all our requests."),
    failed=_("An option of the Data API is not bought: %(error)s"),
    where=TARIFF,
)
POINTS = Check(
    code="UIS_POINTS",
    passed=_("UIS API points are available."),
    failed=_("UIS API points are exhausted or nearly so (%(left)s of %(limit)s left). Raise the limit."),
    where=TARIFF,
)
ADDRESS_LIST = Check(
    code="UIS_ADDRESS_LIST",
    passed=_("UIS accepts requests from our server."),
    failed=_("UIS rejects requests from our server: its address is not on the list. Add %(addresses)s."),
    where=outbound_addresses.WHERE,
    variants={
        "named": _(
            "UIS rejects requests from our server: its address %(address)s is not on the list. Add it, and ask the "
            "operator whether there are others."
        ),
        "unknown": _(
            "UIS rejects requests from our server: its address is not on the list. Ask the operator for the address, "
            "and add it."
        ),
    },
)
# The errors that deny all access, and the check each one fails.
DENIALS: dict[str, Check] = {
    AccessError.TOKEN_INVALID: Check(
        code="UIS_KEY", passed=_("UIS accepts the key."), failed=AccessError.TOKEN_INVALID.label
    ),
    AccessError.TOKEN_EXPIRED: Check(
        code="UIS_KEY_TERM", passed=_("The UIS key has not expired."), failed=AccessError.TOKEN_EXPIRED.label
    ),
    AccessError.TOKEN_BLOCKED: Check(
        code="UIS_KEY_BLOCK", passed=_("The UIS key is not blocked."), failed=AccessError.TOKEN_BLOCKED.label
    ),
    AccessError.ADDRESS_NOT_LISTED: ADDRESS_LIST,
    AccessError.ACCOUNT_INACTIVE: Check(
        code="UIS_ACCOUNT",
        responsible=Responsible.UIS,
        passed=_("The UIS account is active."),
        failed=AccessError.ACCOUNT_INACTIVE.label,
    ),
}
ACCOUNT_USED = Check(
    code="UIS_ACCOUNT_USED",
    responsible=Responsible.OPERATOR,
    passed=_("No other client uses this UIS account."),
    failed=UIS_USED,
)
ACCESS_CHECKS = (*DENIALS.values(), ACCOUNT_USED, ANSWERS)
_REFUSALS = DENIALS | {
    AccessError.ACCOUNT_USED: ACCOUNT_USED,
    AccessError.AUTH_ERROR: DENIALS[AccessError.TOKEN_INVALID],
    AccessError.COMPONENT: DATA_API,
    AccessError.METHOD_COMPONENT: DATA_API,
    LIMIT: POINTS,
}
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}\b", re.ASCII)


def refused(exc: http_client.RemoteError, *, right: Check | None = None) -> CheckResult:
    """Return the failed check for an error of UIS; `right` is the check of the right the request needed."""
    check = right if exc.code == AccessError.FORBIDDEN else _REFUSALS.get(exc.code)
    params = _address_params(str(exc)) if exc.code == AccessError.ADDRESS_NOT_LISTED else {}
    return (check or ANSWERS).result(is_ok=False, error=exc, left=0, limit="…", **params)


def _address_params(error: str) -> dict[str, str]:
    """Return what the client must allow: our addresses, the one that UIS names, or whom to ask."""
    match = _ADDRESS.search(error)
    named = match[0] if match else ""
    addresses = outbound_addresses.to_allow(named)
    kind = "" if addresses else "named" if named else "unknown"
    return {"kind": kind, "address": named, "addresses": ", ".join(addresses)}


TIME_ZONE = Check(
    code="UIS_TIME_ZONE",
    responsible=Responsible.OPERATOR,
    passed=_("The time zone of UIS is known: %(zone)s."),
    failed=_(
        "UIS reports an unknown time zone (“%(zone)s”). Set the UIS time zone in the admin, or call times are wrong."
    ),
)


def zone(name: str) -> CheckResult:
    return TIME_ZONE.result(is_ok=name in time_zones.known(), zone=name)


CALL_API = Check(
    code="UIS_CALL_API",
    passed=_("Calls can be started from the CRM."),
    failed=_("The option “Call API basic set” is not bought, so a click in the CRM cannot start a call."),
    where=TARIFF,
)
RIGHT_CALL_API = Check(
    code="UIS_RIGHT_CALL_API",
    passed=_("The key's user may use the Call API."),
    failed=_("“Access to Call API” is off for the key's user, so a click in the CRM cannot start a call."),
    where=USERS,
)


def call_api(client: UisClient) -> Iterator[CheckResult]:
    missing = ""
    try:
        client.probe_call_api()
    except http_client.AccessDenied as exc:
        if exc.code not in {AccessError.COMPONENT, AccessError.FORBIDDEN}:
            raise
        missing = exc.code
    yield CALL_API.result(is_ok=missing != AccessError.COMPONENT)
    if missing != AccessError.COMPONENT:
        yield RIGHT_CALL_API.result(is_ok=not missing)


OWN_INTEGRATION = Check(
    code="UIS_OWN_INTEGRATION",
    passed=_("UIS's own integration with retailCRM is off."),
    failed=_("UIS's own integration with retailCRM is on: every call would be uploaded twice. Switch it off."),
    where=_("UIS: Integrations → retailCRM."),
)


def own_integration(client: UisClient, *, now: datetime) -> Iterator[CheckResult]:
    is_on = client.has_calls_of("retailcrm", since=now - INTEGRATION_PERIOD, till=now)
    yield OWN_INTEGRATION.result(is_ok=not is_on)


ATTRIBUTION = Check(
    code="UIS_ATTRIBUTION",
    passed=_("UIS's report shows where calls came from."),
    failed=_("UIS's report does not show where calls came from: %(error)s"),
    where=TARIFF,
)


def call_reports(tenant: Tenant, client: UisClient, *, now: datetime) -> Iterator[CheckResult]:
    """Ask both reports for a session that does not exist: UIS's refusal fails DATA_API.

    Only those whose numbers belong to campaigns miss the columns that tell where calls came from.
    """
    client.call_legs([0], since=now, till=now)
    client.calls_by_session([0], since=now, till=now, columns=REPORT_COLUMNS)
    yield DATA_API.result(is_ok=True)
    refused_columns = client.refused_columns.get("get.calls_report")
    if VirtualNumber.objects.filter(tenant=tenant).exclude(attribution={}).exists():
        yield ATTRIBUTION.result(is_ok=refused_columns is None, error=refused_columns)


def points(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Check the daily quota only: the quota per minute recovers by itself."""
    tenant.uis.refresh_from_db(fields=["data_limits", "call_limits"])
    quotas = (tenant.uis.data_limits, tenant.uis.call_limits)
    low: dict[str, object] = next((quota for quota in quotas if api_quota.is_low_today(quota, now=now)), {})
    yield POINTS.result(is_ok=not low, left=low.get("day_remaining"), limit=low.get("day_limit"))
