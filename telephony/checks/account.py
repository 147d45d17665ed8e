"""Checks on a client's UIS account: access, rights, options, employees, numbers and API quota."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from connector_project.core import http_client, time_zones
from connector_project.core.check_results import Check, CheckResult, failed, join_limited, passed, result
from telephony import api_quota, client_factory
from telephony.checks import definitions
from telephony.uis.client import UisClient
from telephony.uis.types import UisEmployee
from tenants.models import Employee, Tenant, TransferRules, VirtualNumber

INTEGRATION_PERIOD = timedelta(days=2)
# The errors that deny all access, and the check each one fails.
ACCOUNT_ERROR_CHECKS = {
    "access_token_invalid": definitions.KEY,
    "auth_error": definitions.KEY,
    "access_token_expired": definitions.KEY_TERM,
    "access_token_blocked": definitions.KEY_BLOCK,
    "ip_not_whitelisted": definitions.ADDRESS_LIST,
    "account_inactive": definitions.ACCOUNT,
}
ACCOUNT_CHECKS = (
    definitions.KEY,
    definitions.KEY_TERM,
    definitions.KEY_BLOCK,
    definitions.ADDRESS_LIST,
    definitions.ACCOUNT,
    definitions.ANSWERS,
)
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}\b", re.ASCII)


def run_checks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Yield the check results; where access is denied, the checks that need it are left out."""
    if not tenant.uis.access_token:
        yield failed(definitions.KEY_GIVEN)
        return
    yield passed(definitions.KEY_GIVEN)
    client = client_factory.uis_client(tenant.uis, is_live=True)
    try:
        account = client.account()
    except http_client.RemoteError as exc:
        yield refused(exc)
        return
    yield from map(passed, ACCOUNT_CHECKS)
    yield zone(account.time_zone or tenant.uis.time_zone)
    yield from _run_all(_rights(tenant, client, now=now))


def refused(exc: http_client.RemoteError, *, right: Check | None = None) -> CheckResult:
    """Return the check result for an error of UIS; `right` is the check of the right the request needed."""
    if exc.code == "limit_exceeded":
        return failed(definitions.POINTS, left=0, limit="…")
    check = right if exc.code == "forbidden" and right else ACCOUNT_ERROR_CHECKS.get(exc.code)
    if exc.code in {"component_disabled", "method_component_disabled"}:
        return failed(definitions.DATA_API, error=exc)
    if check is None:
        return failed(definitions.ANSWERS, error=exc)
    address = _ADDRESS.search(str(exc))
    return failed(check, address=address[0] if address else "")


def zone(name: str) -> CheckResult:
    return result(definitions.TIME_ZONE, is_ok=name in time_zones.known(), zone=name)


def _run_all(checks: Iterator[Callable[[], Iterator[CheckResult]]]) -> Iterator[CheckResult]:
    """Run all checks; an error in one does not stop the others. Report each kind of error once."""
    reported: set[str] = set()
    for check in checks:
        try:
            yield from check()
        except http_client.RemoteError as exc:
            result = refused(exc)
            if result.check.code not in reported:
                yield result
            reported.add(result.check.code)
    if definitions.DATA_API.code not in reported:
        yield passed(definitions.DATA_API)


def _rights(tenant: Tenant, client: UisClient, *, now: datetime) -> Iterator[Callable[[], Iterator[CheckResult]]]:
    yield lambda: _staff(tenant, client)
    if tenant.rules.status_sync != TransferRules.StatusSync.OFF:
        yield lambda: iter([result(definitions.RIGHT_STATUSES, is_ok=client.may_change_employees())])
    yield lambda: _numbers(tenant, client)
    yield lambda: _call_api(client)
    yield lambda: iter([result(definitions.OWN_INTEGRATION, is_ok=not _is_integrated(client, now=now))])
    yield lambda: iter([_points(tenant, now=now)])


def _staff(tenant: Tenant, client: UisClient) -> Iterator[CheckResult]:
    try:
        staff = client.employees()
    except http_client.AccessDenied as exc:
        if exc.code != "forbidden":
            raise
        yield failed(definitions.RIGHT_EMPLOYEES)
        return
    yield passed(definitions.RIGHT_EMPLOYEES)
    yield result(definitions.EMPLOYEES, is_ok=bool(staff), count=len(staff))
    if staff:
        linked = Employee.objects.filter(tenant=tenant, crm_user_id__isnull=False).values_list("uis_id", flat=True)
        yield from extensions(staff, linked=set(linked))


def extensions(staff: Sequence[UisEmployee], *, linked: set[int]) -> Iterator[CheckResult]:
    """Check for missing and shared extensions. Linked employees need one; if nobody has one, all need one."""
    having = [person for person in staff if person.extension]
    without = [person for person in staff if not person.extension and (person.uis_id in linked or not having)]
    yield result(definitions.EXTENSIONS, is_ok=not without, names=join_limited(person.full_name for person in without))
    if having:
        counts = Counter(person.extension for person in having)
        shared = [f"{person.full_name} ({person.extension})" for person in having if counts[person.extension] > 1]
        yield result(definitions.EXTENSIONS_UNIQUE, is_ok=not shared, names=join_limited(shared))


def _numbers(tenant: Tenant, client: UisClient) -> Iterator[CheckResult]:
    try:
        active = {number.number for number in client.virtual_numbers() if number.is_active}
    except http_client.AccessDenied as exc:
        if exc.code != "forbidden":
            raise
        yield failed(definitions.RIGHT_NUMBERS)
        return
    yield passed(definitions.RIGHT_NUMBERS)
    yield result(definitions.NUMBERS, is_ok=bool(active))
    if active and tenant.activated_at:  # Before activation there are no numbers to choose from.
        chosen = VirtualNumber.objects.filter(tenant=tenant, is_default=True).values_list("number", flat=True).first()
        # A single number needs no choice.
        yield result(definitions.DEFAULT_NUMBER, is_ok=chosen in active if chosen else len(active) == 1)


def _call_api(client: UisClient) -> Iterator[CheckResult]:
    missing: Check | None = None
    try:
        client.probe_call_api()
    except http_client.AccessDenied as exc:
        missing = {"component_disabled": definitions.CALL_API, "forbidden": definitions.RIGHT_CALL_API}.get(exc.code)
        if missing is None:
            raise
    if missing is not definitions.CALL_API:
        yield passed(definitions.CALL_API)
        yield result(definitions.RIGHT_CALL_API, is_ok=missing is None)
    else:
        yield failed(definitions.CALL_API)


def _is_integrated(client: UisClient, *, now: datetime) -> bool:
    return client.has_calls_of("retailcrm", since=now - INTEGRATION_PERIOD, till=now)


def _points(tenant: Tenant, *, now: datetime) -> CheckResult:
    """Check the daily quota only: the quota per minute recovers by itself."""
    tenant.uis.refresh_from_db(fields=["data_limits", "call_limits"])
    low = [
        quota for quota in (tenant.uis.data_limits, tenant.uis.call_limits) if api_quota.is_low_today(quota, now=now)
    ]
    quota = low[0] if low else {}
    return result(definitions.POINTS, is_ok=not low, left=quota.get("day_remaining"), limit=quota.get("day_limit"))
