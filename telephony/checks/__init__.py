"""Set-up checks of a client's UIS account and webhooks."""

from collections.abc import Iterator
from datetime import datetime

from connector_project import remote
from telephony.checks import heard, look, words
from telephony.checks.look import refused, zone
from tenants.finding import Check, Finding, bad
from tenants.models import Tenant

__all__ = ["ALL", "key_missing", "no_employees", "of_account", "of_notifications", "refused", "zone"]

ALL: tuple[Check, ...] = (
    *(words.KEY_GIVEN, words.ANSWERS, words.KEY, words.KEY_TERM, words.KEY_BLOCK, words.ADDRESS_LIST, words.ACCOUNT),
    *(words.TIME_ZONE, words.RIGHT_EMPLOYEES, words.EMPLOYEES, words.EXTENSIONS, words.EXTENSIONS_UNIQUE),
    *(words.RIGHT_STATUSES, words.RIGHT_NUMBERS, words.NUMBERS, words.DEFAULT_NUMBER),
    *(words.DATA_API, words.CALL_API, words.RIGHT_CALL_API, words.OWN_INTEGRATION, words.POINTS, words.CLOCKS),
    *words.SEEN.values(),
    *words.TEMPLATES.values(),
)


def no_employees(exc: remote.RemoteError) -> Finding:
    """Return the check result for a failed synchronization of employees."""
    return refused(exc, right=words.RIGHT_EMPLOYEES)


def key_missing() -> Finding:
    return bad(words.KEY_GIVEN)


def of_account(tenant: Tenant, *, now: datetime) -> Iterator[Finding]:
    """Check the account at UIS; about ten requests."""
    return look.look(tenant, now=now)


def of_notifications(tenant: Tenant, *, now: datetime) -> Iterator[Finding]:
    """Check the received notifications; no remote requests."""
    return heard.look(tenant, now=now)
