"""Checks on a client's UIS account: access, rights, options, employees, numbers and API quota."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from zoneinfo import available_timezones

from connector_project import remote
from telephony import clients, points
from telephony.checks import words
from telephony.uis.client import UisClient
from telephony.uis.types import Person
from tenants.finding import Check, Finding, bad, good, listed, of
from tenants.models import Employee, Tenant, TransferRules, VirtualNumber

INTEGRATION_LOOKED_BACK = timedelta(days=2)
# The errors that deny all access, and the check each one fails.
DOORS = {
    "access_token_invalid": words.KEY,
    "auth_error": words.KEY,
    "access_token_expired": words.KEY_TERM,
    "access_token_blocked": words.KEY_BLOCK,
    "ip_not_whitelisted": words.ADDRESS_LIST,
    "account_inactive": words.ACCOUNT,
}
OPEN = (words.KEY, words.KEY_TERM, words.KEY_BLOCK, words.ADDRESS_LIST, words.ACCOUNT, words.ANSWERS)
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}\b", re.ASCII)


def look(tenant: Tenant, *, now: datetime) -> Iterator[Finding]:
    """Yield the check results; where access is denied, the checks that need it are left out."""
    if not tenant.uis.access_token:
        yield bad(words.KEY_GIVEN)
        return
    yield good(words.KEY_GIVEN)
    client = clients.uis_client(tenant.uis, is_live=True)
    try:
        account = client.account()
    except remote.RemoteError as exc:
        yield refused(exc)
        return
    yield from map(good, OPEN)
    yield zone(account.time_zone or tenant.uis.time_zone)
    yield from _each(_rights(tenant, client, now=now))


def refused(exc: remote.RemoteError, *, right: Check | None = None) -> Finding:
    """Return the check result for an error of UIS; `right` is the check of the right the request needed."""
    if exc.code == "limit_exceeded":
        return bad(words.POINTS, left=0, limit="…")
    check = right if exc.code == "forbidden" and right else DOORS.get(exc.code)
    if exc.code in {"component_disabled", "method_component_disabled"}:
        return bad(words.DATA_API, says=exc)
    if check is None:
        return bad(words.ANSWERS, says=exc)
    address = _ADDRESS.search(str(exc))
    return bad(check, address=address[0] if address else "")


def zone(name: str) -> Finding:
    return of(words.TIME_ZONE, is_ok=name in available_timezones(), zone=name)


def _each(checks: Iterator[Callable[[], Iterator[Finding]]]) -> Iterator[Finding]:
    """Run all checks; an error in one does not stop the others. Report each kind of error once."""
    reported: set[str] = set()
    for check in checks:
        try:
            yield from check()
        except remote.RemoteError as exc:
            result = refused(exc)
            if result.check.code not in reported:
                yield result
            reported.add(result.check.code)
    if words.DATA_API.code not in reported:
        yield good(words.DATA_API)


def _rights(tenant: Tenant, client: UisClient, *, now: datetime) -> Iterator[Callable[[], Iterator[Finding]]]:
    yield lambda: _staff(tenant, client)
    if tenant.rules.status_sync != TransferRules.StatusSync.OFF:
        yield lambda: iter([of(words.RIGHT_STATUSES, is_ok=client.may_change_employees())])
    yield lambda: _numbers(tenant, client)
    yield lambda: _call_api(client)
    yield lambda: iter([of(words.OWN_INTEGRATION, is_ok=not _is_integrated(client, now=now))])
    yield lambda: iter([_points(tenant, now=now)])


def _staff(tenant: Tenant, client: UisClient) -> Iterator[Finding]:
    try:
        staff = client.employees()
    except remote.AccessDenied as exc:
        if exc.code != "forbidden":
            raise
        yield bad(words.RIGHT_EMPLOYEES)
        return
    yield good(words.RIGHT_EMPLOYEES)
    yield of(words.EMPLOYEES, is_ok=bool(staff), count=len(staff))
    if staff:
        linked = Employee.objects.filter(tenant=tenant, crm_user_id__isnull=False).values_list("uis_id", flat=True)
        yield from extensions(staff, linked=set(linked))


def extensions(staff: Sequence[Person], *, linked: set[int]) -> Iterator[Finding]:
    """Check for missing and shared extensions. Linked employees need one; if nobody has one, all need one."""
    having = [person for person in staff if person.extension]
    without = [person for person in staff if not person.extension and (person.uis_id in linked or not having)]
    yield of(words.EXTENSIONS, is_ok=not without, names=listed(person.full_name for person in without))
    if having:
        counts = Counter(person.extension for person in having)
        shared = [f"{person.full_name} ({person.extension})" for person in having if counts[person.extension] > 1]
        yield of(words.EXTENSIONS_UNIQUE, is_ok=not shared, names=listed(shared))


def _numbers(tenant: Tenant, client: UisClient) -> Iterator[Finding]:
    try:
        active = {number.number for number in client.virtual_numbers() if number.is_active}
    except remote.AccessDenied as exc:
        if exc.code != "forbidden":
            raise
        yield bad(words.RIGHT_NUMBERS)
        return
    yield good(words.RIGHT_NUMBERS)
    yield of(words.NUMBERS, is_ok=bool(active))
    if active and tenant.activated_at:  # Before activation there are no numbers to choose from.
        chosen = VirtualNumber.objects.filter(tenant=tenant, is_default=True).values_list("number", flat=True).first()
        # A single number needs no choice.
        yield of(words.DEFAULT_NUMBER, is_ok=chosen in active if chosen else len(active) == 1)


def _call_api(client: UisClient) -> Iterator[Finding]:
    missing: Check | None = None
    try:
        client.try_call_api()
    except remote.AccessDenied as exc:
        missing = {"component_disabled": words.CALL_API, "forbidden": words.RIGHT_CALL_API}.get(exc.code)
        if missing is None:
            raise
    if missing is not words.CALL_API:
        yield good(words.CALL_API)
        yield of(words.RIGHT_CALL_API, is_ok=missing is None)
    else:
        yield bad(words.CALL_API)


def _is_integrated(client: UisClient, *, now: datetime) -> bool:
    return client.has_calls_of("retailcrm", since=now - INTEGRATION_LOOKED_BACK, till=now)


def _points(tenant: Tenant, *, now: datetime) -> Finding:
    """Check the daily quota only: the quota per minute recovers by itself."""
    tenant.uis.refresh_from_db(fields=["data_limits", "call_limits"])
    low = [quota for quota in (tenant.uis.data_limits, tenant.uis.call_limits) if points.is_low_today(quota, now=now)]
    quota = low[0] if low else {}
    return of(words.POINTS, is_ok=not low, left=quota.get("day_remaining"), limit=quota.get("day_limit"))
