"""Checks on a client's virtual numbers in UIS."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Check, CheckResult
from connector_project.core.http_client import AccessDenied
from telephony.checks.account import TARIFF, USERS
from telephony.uis.client import UisClient
from tenants.access_errors import SUSPENDING
from tenants.models import Tenant, VirtualNumber

RIGHT_NUMBERS = Check(
    code="UIS_RIGHT_NUMBERS",
    passed=_("The key may see virtual numbers."),
    failed=_("The key's user may not see virtual numbers. Grant the right “Number management: view”."),
    where=USERS,
)
NUMBERS = Check(
    code="UIS_NUMBERS",
    passed=_("There is an active virtual number."),
    failed=_("There is no active virtual number, so no calls are possible."),
    where=_("UIS: Virtual numbers."),
)
DEFAULT_NUMBER = Check(
    code="DEFAULT_NUMBER",
    passed=_("The number for outgoing calls is chosen."),
    failed=_("The number for calls from the CRM is not chosen or not active."),
    where=_("Client's page: number for outgoing calls."),
)
CAMPAIGNS = Check(
    code="UIS_CAMPAIGNS",
    passed=_("The campaigns of virtual numbers can be read."),
    failed=_("The UTM marks of virtual numbers cannot be read: %(error)s"),
    where=TARIFF,
)


def virtual_numbers(tenant: Tenant, client: UisClient) -> Iterator[CheckResult]:
    """Check that there are active numbers, and the default one. UIS's refusal fails RIGHT_NUMBERS."""
    numbers = client.virtual_numbers().rows
    active = {number.number for number in numbers if number.is_active}
    yield RIGHT_NUMBERS.result(is_ok=True)
    yield NUMBERS.result(is_ok=bool(active))
    if active and tenant.activated_at:  # Before activation there are no numbers to choose from.
        chosen = VirtualNumber.objects.filter(tenant=tenant, is_default=True).values_list("number", flat=True).first()
        # A single number needs no choice.
        yield DEFAULT_NUMBER.result(is_ok=chosen in active if chosen else len(active) == 1)
    if any(number.static_campaigns for number in numbers):
        yield _campaigns(client)


def _campaigns(client: UisClient) -> CheckResult:
    try:
        client.campaigns()
    except AccessDenied as exc:
        if exc.subject in SUSPENDING:
            raise
        return CAMPAIGNS.result(is_ok=False, error=exc)
    return CAMPAIGNS.result(is_ok=True)
