"""Our module in the client's CRM: where to send clicks, and every extension there is."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.templatetags.static import static
from django.urls import reverse

from connector_project import phones
from crm.address import bare
from crm.models import Stray
from crm.retailcrm.client import RetailCrmClient
from crm.retailcrm.types import Module, ModuleAnswer, ModuleState
from tenants.models import CrmConnection, Denial, Employee, Tenant, VirtualNumber

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

    An edit replaces the whole list, so what people typed for users we do not know is sent along. A module that is
    switched off in the CRM is left alone unless forced: an edit would switch it on behind people's backs.
    """
    ours = _codes(tenant)
    users, words = {user_id for user_id, _ in ours}, {word for _, word in ours}
    kept = [(user_id, word) for user_id, word in typed if user_id not in users and word not in words]
    told = {
        "codes": [list(pair) for pair in ours],
        "kept": [list(pair) for pair in kept],
        "phones": _phones(tenant),
        "where": _mark(tenant),
        "account": bare(tenant.crm.address),
    }
    if not is_forced and not _is_news(tenant, told):
        return False
    sent = _module(tenant, codes=[*ours, *kept])
    answer = client.edit_module(sent)
    _count_strays(tenant, answer, now=now)
    if _remember(tenant, told, now=now):
        return True
    # He left while it was on its way: whichever request came last, the module ends switched off.
    client.edit_module(replace(sent, codes=tuple(kept), is_active=False))
    return False


def _count_strays(tenant: Tenant, answer: ModuleAnswer, *, now: datetime) -> None:
    for kind, named in ((Stray.Kind.USER, answer.unknown_users), (Stray.Kind.STORE, answer.unknown_sites)):
        if named:
            Stray.count(tenant, kind, tuple(sorted(set(named), key=str)), on=now.astimezone(tenant.zone).date())


def register_again(tenant: Tenant, client: RetailCrmClient, *, now: datetime) -> None:
    """Send the module whatever it was told before, switched on, with what people typed into it.

    Raises the errors of connector_project.remote.
    """
    register(tenant, client, typed=typed_codes(tenant, client), now=now, is_forced=True)


def switch_off(tenant: Tenant, client: RetailCrmClient) -> None:
    """Switch the module off; of its extensions those that people typed stay. Raises the errors of remote."""
    kept = [(user_id, word) for user_id, word in tenant.crm.sent_module.get("kept", [])]
    client.edit_module(replace(_module(tenant, codes=kept), is_active=False))


def is_on(tenant: Tenant, client: RetailCrmClient) -> bool:
    """Ask the CRM whether our module is at work there. Raises the errors of connector_project.remote."""
    state = client.module(code(tenant))
    return state is not None and state.is_on and not state.is_frozen


def is_right(tenant: Tenant, client: RetailCrmClient) -> bool:
    """Ask the CRM whether our module is switched on there and leads to us. Raises the errors of remote."""
    state = client.module(code(tenant))
    return state is not None and state.is_on and not strange_addresses(tenant, state)


def is_elsewhere(tenant: Tenant, client: RetailCrmClient) -> bool:
    """Say whether this is another account than the module was told in; one that was only renamed has the module."""
    told = tenant.crm.sent_module.get("account")
    return told not in {None, bare(tenant.crm.address)} and client.module(code(tenant)) is None


def strange_addresses(tenant: Tenant, state: ModuleState) -> list[str]:
    """Return the fields that name another address than ours; one the CRM does not give back is none."""
    ours = addresses(tenant)
    wanted = {
        "makeCallUrl": ours["make_call"],
        "changeUserStatusUrl": ours["change_user_status"],
        "baseUrl": ours["activity"].removesuffix("/activity/"),
    }
    return [name for name, url in state.addresses if url.rstrip("/") != wanted[name].rstrip("/")]


def code(tenant: Tenant) -> str:
    """Return the code of our module in this account: it stays what it was first registered as."""
    return tenant.crm.module_code or f"{settings.RETAILCRM_MODULE_CODE}-{tenant.slug}"[:64]


def activation_url(tenant: Tenant) -> str:
    """Return the address of the client's page, as he and the CRM know it: a secret, and good for a term only."""
    return page_url(tenant.activation_token)


def page_url(token: str) -> str:
    """Return the address at which this token opens a client's page."""
    return str(settings.PUBLIC_URL + reverse("activate", args=[token]))


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


def _is_news(tenant: Tenant, told: dict[str, Any]) -> bool:
    if tenant.crm.denied_code == Denial.TELEPHONY_OFF:
        return False
    seen = {name: tenant.crm.sent_module.get(name) for name in told}
    return seen != told or tenant.crm.registered_at is None


@transaction.atomic
def _remember(tenant: Tenant, told: dict[str, Any], *, now: datetime) -> bool:
    """Write what the module was told; False for a client who left meanwhile: his clientId is another one then."""
    stored = CrmConnection.objects.select_for_update().filter(pk=tenant.crm.pk).first()
    if stored is None or stored.client_id != tenant.crm.client_id:
        return False
    tenant.crm.sent_module, tenant.crm.module_code = told, code(tenant)
    tenant.crm.registered_at = tenant.crm.registered_at or now
    tenant.crm.save(update_fields=["sent_module", "module_code", "registered_at"])
    return True


def _mark(tenant: Tenant) -> str:
    """Return what changes with our addresses; they are secrets, so not the addresses themselves."""
    known = [*addresses(tenant).values(), activation_url(tenant)]
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:16]


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
        integration_code=_integration_code(tenant),
        account_url=activation_url(tenant),
        actions=(("activity", "/activity/"), ("settings", "/settings/")),
        codes=tuple(codes),
        phones=tuple((site, phone) for site, phone in _phones(tenant)),
    )


def _integration_code(tenant: Tenant) -> str:
    """Return our code in the marketplace, if we are there: the CRM wants the module's own to begin with it."""
    marketplace_code = settings.RETAILCRM_MODULE_CODE if settings.RETAILCRM_MODULE_SECRET else ""
    return marketplace_code if code(tenant).startswith(marketplace_code) else ""


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
