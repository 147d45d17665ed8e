"""Set-up checks of a client's UIS account and webhooks."""

from collections.abc import Iterator
from datetime import datetime

from connector_project.core import http_client
from connector_project.core.check_results import Check, CheckResult, failed
from telephony.checks import account, definitions, webhooks
from telephony.checks.account import refused, zone
from tenants.models import Tenant

__all__ = ["ALL", "account_checks", "key_missing", "no_employees", "notification_checks", "refused", "zone"]

ALL: tuple[Check, ...] = (
    *(
        definitions.KEY_GIVEN,
        definitions.ANSWERS,
        definitions.KEY,
        definitions.KEY_TERM,
        definitions.KEY_BLOCK,
        definitions.ADDRESS_LIST,
        definitions.ACCOUNT,
    ),
    *(
        definitions.TIME_ZONE,
        definitions.RIGHT_EMPLOYEES,
        definitions.EMPLOYEES,
        definitions.EXTENSIONS,
        definitions.EXTENSIONS_UNIQUE,
    ),
    *(definitions.RIGHT_STATUSES, definitions.RIGHT_NUMBERS, definitions.NUMBERS, definitions.DEFAULT_NUMBER),
    *(
        definitions.DATA_API,
        definitions.CALL_API,
        definitions.RIGHT_CALL_API,
        definitions.OWN_INTEGRATION,
        definitions.POINTS,
        definitions.CLOCKS,
    ),
    *definitions.SEEN.values(),
    *definitions.TEMPLATES.values(),
)


def no_employees(exc: http_client.RemoteError) -> CheckResult:
    """Return the check result for a failed synchronization of employees."""
    return refused(exc, right=definitions.RIGHT_EMPLOYEES)


def key_missing() -> CheckResult:
    return failed(definitions.KEY_GIVEN)


def account_checks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Check the account at UIS; about ten requests."""
    return account.run_checks(tenant, now=now)


def notification_checks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Check the received notifications; no remote requests."""
    return webhooks.run_checks(tenant, now=now)
