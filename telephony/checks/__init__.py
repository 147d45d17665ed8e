"""Set-up checks of a client's UIS account and webhooks."""

from collections.abc import Iterator
from datetime import datetime

from connector_project.core import http_client
from connector_project.core.check_results import CheckResult
from telephony import client_factory
from telephony.checks import account, numbers, staff
from telephony.checks.account import is_given, refused, zone
from telephony.checks.rules import rules_pass
from telephony.checks.webhooks import notification_checks
from tenants.models import Tenant

__all__ = ["account_checks", "is_given", "notification_checks", "refused", "rules_pass", "zone"]


def account_checks(tenant: Tenant, *, now: datetime) -> Iterator[CheckResult]:
    """Check the account at UIS, in about ten requests; where access is denied, leave out the checks that need it.

    Several checks may fail for the same reason: a code may come more than once.
    """
    yield (given := is_given(tenant.uis))
    if not given.ok:
        return
    client = client_factory.uis_client(tenant.uis, is_live=True)
    try:
        reported_zone = client_factory.verify_account(tenant.uis, client).time_zone
    except http_client.RemoteError as exc:
        yield refused(exc)
        return
    yield from (check.result(is_ok=True) for check in account.ACCESS_CHECKS)
    yield zone(reported_zone or tenant.uis.time_zone)
    # Generators: each sends its requests only when its results are read.
    for results, right in (
        (staff.employees(tenant, client), staff.RIGHT_EMPLOYEES),
        (staff.statuses(tenant, client), None),
        (numbers.virtual_numbers(tenant, client), numbers.RIGHT_NUMBERS),
        (account.call_api(client), None),
        (account.own_integration(client, now=now), None),
        (account.call_reports(tenant, client, now=now), None),
        (account.points(tenant, now=now), None),
    ):
        try:
            yield from results
        except http_client.RemoteError as exc:
            yield refused(exc, right=right)
            if isinstance(exc, http_client.RemoteUnavailable):
                return  # The other requests would only wait as long.
    yield account.DATA_API.result(is_ok=True)
