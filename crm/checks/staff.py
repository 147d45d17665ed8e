"""Checks of a client's employees and numbers in the CRM: links to users, stores."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_texts
from connector_project.core.check_results import Check, CheckResult, Responsible, join_limited
from crm.api_scopes import KEYS
from crm.retailcrm.types import Rights
from tenants.models import Employee, Tenant, VirtualNumber

_ADMIN = _("Admin: the client → employees and numbers.")

STORES = Check(
    code="CRM_STORES",
    passed=_("The API key has access to all stores in use."),
    failed=_("The API key has no access to these stores: %(stores)s. Grant access to them."),
    where=KEYS,
)
STORE_CHOSEN = Check(
    code="CRM_STORE_CHOSEN",
    responsible=Responsible.OPERATOR,
    passed=_("Every number has a store."),
    failed=_("There are several stores, and these numbers have none: %(numbers)s. Choose a store for each."),
    where=_ADMIN,
)


def stores(tenant: Tenant, rights: Rights) -> Iterator[CheckResult]:
    if not rights.sites:  # The key has access to all stores, or the CRM does not report them.
        return
    own = VirtualNumber.objects.filter(tenant=tenant, is_active=True)
    used = {*own.exclude(site="").values_list("site", flat=True), *filter(None, [tenant.crm.site])}
    out_of_reach = sorted(used - set(rights.sites))
    yield STORES.result(is_ok=not out_of_reach, stores=", ".join(out_of_reach))
    if len(rights.sites) > 1:
        without = [] if tenant.crm.site else list(own.filter(site=""))
        yield STORE_CHOSEN.result(is_ok=not without, numbers=join_limited(without))


USERS_LINKED = Check(
    code="USERS_LINKED",
    responsible=Responsible.OPERATOR,
    passed=_("Every employee is linked to a CRM user."),
    failed=_("These employees are not linked to a CRM user and get no pop-ups: %(names)s. Link them."),
    where=_ADMIN,
)


def links(tenant: Tenant) -> Iterator[CheckResult]:
    if tenant.uis.synced_at:
        names = list(Employee.objects.filter(tenant=tenant).unlinked().values_list("full_name", flat=True))
        yield USERS_LINKED.result(is_ok=not names, names=join_limited(map(phone_texts.mask, names)))
