"""Our module in the client's CRM: where to send clicks, and every extension there is."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.templatetags.static import static
from django.urls import reverse

from connector_project import phones
from crm.retailcrm.client import RetailCrmClient
from crm.retailcrm.types import Module
from tenants.models import Employee, Tenant, VirtualNumber

TASK = "crm.tasks.register_module"
NAME = "UIS"
Codes = Sequence[tuple[int, str]]


def typed_codes(tenant: Tenant, client: RetailCrmClient) -> list[tuple[int, str]]:
    """Return the extensions that people typed into the module: what is there and was not sent by us."""
    state = client.module(code(tenant))
    sent = {(user_id, word) for user_id, word in tenant.crm.sent_module.get("codes", [])}
    return [pair for pair in state.codes if pair not in sent] if state else []


def register(
    tenant: Tenant, client: RetailCrmClient, *, typed: Codes = (), now: datetime, is_forced: bool = False
) -> bool:
    """Send the module with all extensions, numbers and addresses where they changed; say whether it was sent.

    An edit replaces the whole list, so what people typed for users we do not know is sent along.
    """
    ours = _codes(tenant)
    users, words = {user_id for user_id, _ in ours}, {word for _, word in ours}
    kept = [(user_id, word) for user_id, word in typed if user_id not in users and word not in words]
    told = {
        "codes": [list(pair) for pair in ours],
        "kept": [list(pair) for pair in kept],
        "phones": _phones(tenant),
        "where": _mark(tenant),
    }
    seen = {name: tenant.crm.sent_module.get(name) for name in told}
    if seen == told and not is_forced and tenant.crm.registered_at:
        return False
    answer = client.edit_module(_module(tenant, codes=[*ours, *kept]))
    unknown = {"unknown_users": list(answer.unknown_users), "unknown_sites": list(answer.unknown_sites)}
    tenant.crm.sent_module, tenant.crm.module_code = told | unknown, code(tenant)
    tenant.crm.registered_at = tenant.crm.registered_at or now
    tenant.crm.save(update_fields=["sent_module", "module_code", "registered_at"])
    return True


def code(tenant: Tenant) -> str:
    """Return the code of our module in this account: it stays what it was first registered as."""
    return tenant.crm.module_code or f"{settings.RETAILCRM_MODULE_CODE}-{tenant.slug}"[:64]


def addresses(tenant: Tenant) -> dict[str, str]:
    """Return every address of ours that this client's systems are to know."""
    hook = tenant.uis.hook

    def ours(name: str) -> str:
        return settings.PUBLIC_URL + reverse(name, args=[hook])

    return {
        "notifications": ours("notifications"),
        "make_call": ours("make-call"),
        "change_user_status": ours("change-user-status"),
        "activity": ours("activity"),
    }


def _mark(tenant: Tenant) -> str:
    """Return what changes with our addresses; they are secrets, so it is not the addresses themselves."""
    return hashlib.sha256(" ".join(addresses(tenant).values()).encode()).hexdigest()[:16]


def _module(tenant: Tenant, *, codes: Codes) -> Module:
    where = addresses(tenant)
    base = where["activity"].removesuffix("/activity/")
    return Module(
        code=code(tenant),
        client_id=tenant.crm.client_id,
        name=NAME,
        logo_url=settings.PUBLIC_URL + static("logo.svg"),
        base_url=base,
        make_call_url=where["make_call"],
        change_status_url=where["change_user_status"],
        # Only a module of the marketplace has a code there; ours must begin with it.
        integration_code=settings.RETAILCRM_MODULE_CODE if settings.RETAILCRM_MODULE_SECRET else "",
        actions=(("activity", "/activity/"), ("settings", "/settings/")),
        codes=tuple(codes),
        phones=tuple((site, phone) for site, phone in _phones(tenant)),
    )


def _codes(tenant: Tenant) -> list[tuple[int, str]]:
    """Return the extension of each linked person; one that two people share would show cards to the wrong one."""
    staff = Employee.objects.filter(tenant=tenant, is_dismissed=False).exclude(extension="").order_by("pk")
    pairs = list(staff.values_list("crm_user_id", "extension"))
    having = Counter(word for _, word in pairs)
    return [(user_id, word) for user_id, word in pairs if user_id and having[word] == 1]


def _phones(tenant: Tenant) -> list[list[str]]:
    own = (
        VirtualNumber.objects.filter(tenant=tenant, is_active=True)
        .exclude(site="")
        .order_by("site", "-is_default", "number")
    )
    return [[number.site, phones.e164(number.number)] for number in own]
