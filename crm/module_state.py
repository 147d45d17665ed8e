"""What the CRM says of our integration module: whether it is on, has our URLs, and is in the same account."""

from datetime import datetime

from crm import integration_module, registered_module
from crm.retailcrm.client import RetailCrmClient
from crm.retailcrm.types import ModuleState, UserList
from tenants.access_errors import SWITCHED_OFF
from tenants.models import CrmUser, Tenant


def is_kept_off(tenant: Tenant, client: RetailCrmClient, *, now: datetime) -> bool:
    """Return whether people switched our module off in the CRM, or deleted it, and it still is; note it if it is news.

    Raises RemoteError.
    """
    if tenant.crm.registered_module.get(integration_module.SWITCH_OFF_AGAIN) and SWITCHED_OFF in tenant.crm.denials:
        integration_module.switch_off_again(tenant, client)
        return True
    state = integration_module.fetch(tenant, client)
    if registered_module.note_switched_off(tenant.crm, state, now=now):
        return True
    is_on = state is not None and state.is_working
    return SWITCHED_OFF in tenant.crm.denials and not (is_on and tenant.crm.lift(SWITCHED_OFF))


def is_ours(tenant: Tenant, client: RetailCrmClient) -> bool:
    """Ask the CRM whether our module is switched on with our URLs. Raises RemoteError."""
    state = client.module(integration_module.code(tenant))
    return state is not None and state.is_on and not foreign_urls(tenant, state)


def foreign_urls(tenant: Tenant, state: ModuleState) -> list[str]:
    """Return the URL fields that are not ours; fields the CRM does not return do not count."""
    ours = integration_module.addresses(tenant)
    pairs = {
        "baseUrl": (state.base_url, integration_module.base_url(ours)),
        "makeCallUrl": (state.make_call_url, ours["make_call"]),
        "changeUserStatusUrl": (state.change_status_url, ours["change_user_status"]),
    }
    return [name for name, (url, own) in pairs.items() if url and url.rstrip("/") != own.rstrip("/")]


def is_other_account(tenant: Tenant, client: RetailCrmClient, users: UserList) -> bool:
    """Return whether this is another account than the one we registered in; a renamed account has the module.

    One answer without the module is no verdict: a renamed account has its users, too.
    """
    if registered_module.is_known_account(tenant.crm) or client.module(integration_module.code(tenant)) is not None:
        return False
    known = CrmUser.objects.filter(tenant=tenant).exclude(email="").values_list("crm_id", "email")
    here = {(user.user_id, user.email) for user in users.users}
    return 2 * sum(pair in here for pair in known) <= len(known)
