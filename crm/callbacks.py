"""What the CRM tells of our own module: switched on or off, account renamed, settings changed."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError

from connector_project import remote
from crm.address import fault
from crm.models import Command
from crm.retailcrm.refusals import TELEPHONY_OFF
from tenants.models import Tenant
from tenants.models.tenant import check_zone

SWITCHED_OFF = "The module was switched off in the CRM."


def activity(tenant: Tenant, asked: Mapping[str, str], *, now: datetime) -> Command:
    """Follow the module's switch: off pauses what we send, on lets it flow again."""
    command = _store(tenant, Command.Kind.ACTIVITY, asked, now=now)
    said = _structure(asked.get("activity"))
    if said is None:
        return command.close(Command.State.REFUSED, Command.Reason.BAD_REQUEST, now=now)
    if said.get("active") and not said.get("freeze"):
        tenant.crm.allow()
    else:
        tenant.crm.deny(TELEPHONY_OFF, SWITCHED_OFF, now=now)
    _follow(tenant, asked.get("systemUrl", ""))
    return command.close(Command.State.DONE, now=now)


def settings_changed(tenant: Tenant, asked: Mapping[str, str], *, now: datetime) -> Command:
    """Follow the account's time zone."""
    command = _store(tenant, Command.Kind.SETTINGS, asked, now=now)
    said = _structure(asked.get("settings"))
    if said is None:
        return command.close(Command.State.REFUSED, Command.Reason.BAD_REQUEST, now=now)
    zone = said.get("timezone")
    name = str(zone.get("value") or "") if isinstance(zone, dict) else ""
    try:
        check_zone(name)
    except ValidationError:
        return command.close(Command.State.REFUSED, Command.Reason.BAD_REQUEST, name, now=now)
    if name:
        tenant.crm.time_zone = name
        tenant.crm.save(update_fields=["time_zone"])
    return command.close(Command.State.DONE, now=now)


def _store(tenant: Tenant, kind: Command.Kind, asked: Mapping[str, str], *, now: datetime) -> Command:
    kept = {name: value for name, value in asked.items() if name != "clientId"}
    return Command.objects.create(tenant=tenant, kind=kind, asked=kept, received_at=now)


def _structure(text: str | None) -> dict[str, Any] | None:
    try:
        said = json.loads(text or "")
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _follow(tenant: Tenant, address: str) -> None:
    """Take over the new address of a renamed account, if it can be one: our key goes there next."""
    address = address.rstrip("/")
    is_fit = not fault(address, domains=settings.CRM_DOMAINS, is_trusted=remote.is_trusted(address))
    if address and address != tenant.crm.address and is_fit:
        tenant.crm.address = address
        tenant.crm.save(update_fields=["address"])
