"""Checks of our module in a client's CRM, and of other telephony beside it."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Check, CheckResult, Responsible
from crm import call_records, integration_module, module_state
from crm.retailcrm.client import RetailCrmClient
from tenants.models import Tenant

RECENT_PERIOD = timedelta(days=7)
_MODULES = _("CRM: Settings → Integration → Marketplace, our module.")

REGISTERED = Check(
    code="MODULE_REGISTERED",
    responsible=Responsible.OPERATOR,
    passed=_("Our module is registered in the CRM."),
    failed=_("Our module is not registered in the CRM. Press “Activate” again."),
)
FROZEN = Check(
    code="MODULE_FROZEN",
    passed=_("Our module is not frozen."),
    failed=_("The CRM has frozen our module, usually because it is not paid for. Pay, or contact retailCRM support."),
    where=_MODULES,
)
ACTIVE = Check(
    code="MODULE_ACTIVE",
    passed=_("Our module is switched on in the CRM."),
    failed=_("Our module is switched off in the CRM. Switch it on."),
    where=_MODULES,
)
ADDRESSES = Check(
    code="MODULE_ADDRESSES",
    responsible=Responsible.OPERATOR,
    passed=_("The module in the CRM has our URLs."),
    failed=_("The module in the CRM has URLs that are not ours: %(fields)s. Press “Activate” again."),
)
# The checks that an activation repairs, because it registers the module again.
FIXED_BY_ACTIVATION = (REGISTERED, ACTIVE, ADDRESSES)


def state(tenant: Tenant, client: RetailCrmClient) -> Iterator[CheckResult]:
    if not tenant.activated_at:  # Before activation there is no module yet.
        return
    found = client.module(integration_module.code(tenant))
    yield REGISTERED.result(is_ok=found is not None)
    if found is not None:
        yield FROZEN.result(is_ok=not found.is_frozen)
        yield ACTIVE.result(is_ok=found.is_on)
        foreign = module_state.foreign_urls(tenant, found)
        yield ADDRESSES.result(is_ok=not foreign, fields=", ".join(foreign))


OTHER_TELEPHONY = Check(
    code="OTHER_TELEPHONY",
    passed=_("No other telephony uploads calls to the CRM."),
    failed=_("Another telephony also uploads calls (%(count)s recently), so calls may be duplicated. Switch it off."),
    where=_("CRM: Settings → Integration → Marketplace, telephony."),
)


def other_telephony(client: RetailCrmClient, *, now: datetime) -> Iterator[CheckResult]:
    """Look for calls in the account's history that were not uploaded by this connector, for any client."""
    recent = [call for call in client.history() if call.started_at is None or call.started_at > now - RECENT_PERIOD]
    count = sum(1 for call in recent if call.external_id and not call_records.is_ours(call.external_id))
    yield OTHER_TELEPHONY.result(is_ok=not count, count=count)
