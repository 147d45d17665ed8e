"""Registers our integration module in the client's CRM: callback URLs, extensions and numbers."""

import hashlib
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from typing import Any

from django.conf import settings
from django.db import transaction
from django.templatetags.static import static
from django.urls import reverse

from connector_project.core.http_client import MODULE
from connector_project.core.task_queue import enqueue
from crm import module_contents, module_lease, registered_module
from crm.models import UnknownId
from crm.registered_module import Codes
from crm.retailcrm.client import RetailCrmClient
from crm.retailcrm.payloads import Module
from crm.retailcrm.types import ModuleState
from telephony import task_names
from tenants.access_errors import SWITCHED_OFF
from tenants.models import CrmConnection, Tenant

TASK = "crm.tasks.register_module"
NAME = "UIS"
SWITCH_OFF_AGAIN = "switch_off_again"  # in `registered_module`: people want it off, and our edit switched it on
CRM_URLS = ("make_call", "change_user_status", "activity")


def manual_codes(tenant: Tenant, state: ModuleState | None) -> list[tuple[int, str]]:
    """Return the extensions that users entered in the module, of which `state` was read just now."""
    return registered_module.entered(tenant.crm.registered_module, state.codes if state else ())


def fetch(tenant: Tenant, client: RetailCrmClient) -> ModuleState | None:
    """Return our module as the CRM has it. One answer without it is no verdict: it is asked for once more."""
    state = client.module(code(tenant))
    return client.module(code(tenant)) if state is None and tenant.crm.registered_at else state


def register(
    tenant: Tenant, client: RetailCrmClient, *, now: datetime, is_forced: bool = False, is_patient: bool = False
) -> bool:
    """Send the module as `send` does, but within `module_lease.exclusive`; return whether it was sent.

    Raises RemoteError.
    """
    with module_lease.exclusive(tenant, now=now, is_patient=is_patient) as is_mine:
        return is_mine and send(tenant, client, fetch(tenant, client), now=now, is_forced=is_forced)


def send(
    tenant: Tenant, client: RetailCrmClient, state: ModuleState | None, *, now: datetime, is_forced: bool = False
) -> bool:
    """Send the module with all extensions, numbers and URLs if they changed; return whether it was sent.

    Only within `module_lease.exclusive`. `state` is what `fetch` found: an edit replaces the whole list, so the
    extensions of users we do not know are sent along. A module that people switched off or deleted in the CRM is left
    alone unless forced, because an edit would switch it on. Raises RemoteError.
    """
    if not is_forced and registered_module.note_switched_off(tenant.crm, state, now=now):
        return False
    ours = module_contents.codes(tenant)
    manual, contested = registered_module.split_entered(manual_codes(tenant, state), ours)
    registration = {
        "codes": [list(pair) for pair in ours],
        "manual_codes": [list(pair) for pair in manual],
        "phones": module_contents.phones(tenant),
        "where": _fingerprint(tenant),
        "account": tenant.crm.account,
    }
    if not (is_forced or _has_changed(tenant, registration)):
        _note_contested(tenant, contested)
        return False
    if _is_newly_off(tenant, CrmConnection.objects.get(pk=tenant.crm.pk)) or not _prepare(tenant, ours):
        return False
    sent = _module(tenant, codes=[*ours, *manual])
    answer = client.edit_module(sent)
    unknown = {UnknownId.Kind.USER: answer.unknown_users, UnknownId.Kind.STORE: answer.unknown_sites}
    if any(unknown.values()):
        UnknownId.record(tenant, unknown, now=now)
    saved = _save(tenant, registration, now=now)
    if saved == Saved.GONE:
        # Whichever request came last, the module must end switched off.
        client.edit_module(replace(sent, codes=tuple(manual), is_active=False))
    if saved != Saved.DONE:
        return False
    if tenant.crm.registered_module.get(SWITCH_OFF_AGAIN):
        switch_off_again(tenant, client)
        return False
    return True


def switch_off(tenant: Tenant, client: RetailCrmClient) -> None:
    """Switch the module off; manually entered extensions stay. Raises RemoteError."""
    manual = tenant.crm.registered_module.get("manual_codes", [])
    client.edit_module(replace(_module(tenant, codes=manual), is_active=False))


def switch_off_again(tenant: Tenant, client: RetailCrmClient) -> None:
    """Undo an edit that came after people had switched the module off. If that fails, the probe repeats it."""
    registered = tenant.crm.registered_module
    known = [*registered.get("codes", []), *registered.get("manual_codes", [])]
    codes = [(user_id, extension) for user_id, extension in known]
    client.edit_module(replace(_module(tenant, codes=codes), is_active=False))
    del registered[SWITCH_OFF_AGAIN]
    tenant.crm.save(update_fields=["registered_module"])


def code(tenant: Tenant) -> str:
    """Return our module's code in this account; it never changes after the first registration."""
    return tenant.crm.module_code or f"{settings.RETAILCRM_MODULE_CODE}-{tenant.slug}"[:64]


def activation_url(tenant: Tenant) -> str:
    """Return the URL of the client's page: a secret that expires."""
    return page_url(tenant.activation_token)


def page_url(token: str) -> str:
    """Return the page URL for a token."""
    return str(settings.PUBLIC_URL + reverse("activate", args=[token]))


def addresses(tenant: Tenant) -> dict[str, str]:
    """Return all our URLs for this client's systems; each system has a secret of its own."""
    hooks = {"notifications": tenant.uis.hook} | dict.fromkeys(CRM_URLS, tenant.crm.hook)
    return {name: settings.PUBLIC_URL + reverse(name.replace("_", "-"), args=[hook]) for name, hook in hooks.items()}


def _has_changed(tenant: Tenant, registration: dict[str, Any]) -> bool:
    if SWITCHED_OFF in tenant.crm.denials or MODULE in tenant.crm.denials:
        return False
    registered = {name: tenant.crm.registered_module.get(name) for name in registration}
    return registered != registration or tenant.crm.registered_at is None


def _prepare(tenant: Tenant, codes: Codes) -> bool:
    """Note what the CRM may have after a crash or a lost answer; return whether this worker still has the claim."""
    return (
        module_lease.claimed(tenant).update(
            registered_module=registered_module.unsure(tenant.crm.registered_module, codes)
        )
        == 1
    )


def _note_contested(tenant: Tenant, contested: Codes) -> None:
    """Note whose extensions people changed in the CRM: until ours are sent again, nobody is named by these."""
    registered, pairs = tenant.crm.registered_module, [list(pair) for pair in contested]
    if registered.get("contested", []) != pairs:
        tenant.crm.registered_module = registered | {"contested": pairs}
        module_lease.claimed(tenant).update(registered_module=tenant.crm.registered_module)


class Saved(Enum):
    """Whether what was sent is what the CRM should have."""

    DONE = auto()
    REPLACED = auto()  # our secrets were replaced meanwhile: the module is sent again
    GONE = auto()  # the client was disconnected meanwhile, or has another account


@transaction.atomic
def _save(tenant: Tenant, registration: dict[str, Any], *, now: datetime) -> Saved:
    """Store what was registered, unless our secrets were replaced since the client was loaded."""
    current = Tenant.objects.lock(tenant.pk)
    if current is None or current.crm.client_id != tenant.crm.client_id:
        return _send_again(current, tenant, registration)
    stored = current.crm
    tenant.crm.registered_module, tenant.crm.module_code = registration, code(tenant)
    if stored.module_claim != tenant.crm.module_claim:
        # The lease ended: our list may have reached the CRM after a newer one.
        tenant.crm.registered_module = registered_module.unsure(stored.registered_module, registration["codes"])
        enqueue(task_names.LINK_USERS, tenant.pk)
    if _is_newly_off(tenant, stored):
        tenant.crm.registered_module |= {SWITCH_OFF_AGAIN: True}
    tenant.crm.registered_at = stored.registered_at or now
    is_current = tenant.crm.registered_module["where"] == _fingerprint(current)
    tenant.crm.module_outdated_since = None if is_current else stored.module_outdated_since
    tenant.crm.save(update_fields=["registered_module", "module_code", "registered_at", "module_outdated_since"])
    return Saved.DONE


def _send_again(current: Tenant | None, tenant: Tenant, registration: dict[str, Any]) -> Saved:
    """Queue another registration, because the CRM has our old secrets now; not for a client who has left it."""
    if current is None or current.offboarded_at or current.crm.account != tenant.crm.account:
        return Saved.GONE
    current.crm.registered_module = registered_module.unsure(current.crm.registered_module, registration["codes"])
    current.crm.save(update_fields=["registered_module"])
    enqueue(task_names.LINK_USERS, tenant.pk)
    return Saved.REPLACED


def _is_newly_off(tenant: Tenant, stored: CrmConnection) -> bool:
    """Return whether people have switched our module off since the client was loaded."""
    since, known = (one.denials.get(SWITCHED_OFF, {}).get("since", "") for one in (stored, tenant.crm))
    return since not in {"", known}


def _fingerprint(tenant: Tenant) -> str:
    """Return a hash of our URLs; they are secrets, so they are not stored themselves."""
    known = [*addresses(tenant).values(), activation_url(tenant)]
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:16]


def _module(tenant: Tenant, *, codes: Codes) -> Module:
    urls = addresses(tenant)
    return Module(
        code=code(tenant),
        client_id=tenant.crm.client_id,
        name=NAME,
        logo_url=settings.PUBLIC_URL + static("logo.svg"),
        base_url=base_url(urls),
        make_call_url=urls["make_call"],
        change_status_url=urls["change_user_status"],
        integration_code=_integration_code(tenant),
        account_url=activation_url(tenant),
        actions=(("activity", "/activity/"), ("settings", "/settings/")),
        codes=tuple(codes),
        phones=tuple((site, phone) for site, phone in module_contents.phones(tenant)),
    )


def base_url(urls: dict[str, str]) -> str:
    return urls["activity"].removesuffix("/activity/")


def _integration_code(tenant: Tenant) -> str:
    """Return our marketplace code if we have one; the CRM requires the module code to start with it."""
    marketplace_code = settings.RETAILCRM_MODULE_CODE if settings.RETAILCRM_MODULE_SECRET else ""
    return marketplace_code if code(tenant).startswith(marketplace_code) else ""
