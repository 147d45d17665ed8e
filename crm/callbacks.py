"""What the CRM tells of our own module: switched on or off, account renamed, settings changed."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from connector_project import remote
from connector_project.queue import enqueue
from crm.address import bare, fault
from crm.models import Command
from crm.retailcrm.refusals import TELEPHONY_OFF
from tenants.models import Tenant
from tenants.models.tenant import check_zone

PROBE = "crm.tasks.probe"
SWITCHED_OFF = "The module was switched off in the CRM."

security = logging.getLogger("connector.security")


def activity(tenant: Tenant, asked: Mapping[str, str], *, now: datetime) -> Command:
    """Follow the module's switch: off pauses what we send, on lets it flow again."""
    command = _store(tenant, Command.Kind.ACTIVITY, asked, now=now)
    said = _structure(asked.get("activity"))
    if said is None:
        return command.close(Command.State.REFUSED, Command.Reason.BAD_REQUEST, now=now)
    if _is_on(said):
        tenant.crm.allow()
    else:
        tenant.crm.deny(TELEPHONY_OFF, SWITCHED_OFF, now=now)
    _follow(tenant, asked.get("systemUrl", ""))
    return command.close(Command.State.DONE, now=now)


def is_switched_off(tenant: Tenant) -> bool:
    """Say whether the CRM's last word on our module was that somebody had switched it off, or that it was frozen."""
    told = Command.objects.filter(tenant=tenant, kind=Command.Kind.ACTIVITY, state=Command.State.DONE)
    last = told.order_by("-received_at", "-pk").first()
    return last is not None and not _is_on(_structure(last.asked.get("activity")) or {})


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
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _is_on(said: Mapping[str, Any]) -> bool:
    return _is_yes(said.get("active")) and not _is_yes(said.get("freeze"))


def _is_yes(value: object) -> bool:
    """Read a switch; PHP may write one as text or as a number."""
    return str(value).lower() in {"true", "1"}


def _follow(tenant: Tenant, address: str) -> None:
    """Take over the new address of a renamed account, if it can be one: our key goes there next.

    The vendor's own modules register again there, so ours does; a task asks, for the CRM waits for our answer.
    """
    address = bare(address)
    if not address or address == bare(tenant.crm.address):
        return
    if fault(address, domains=settings.CRM_DOMAINS, is_trusted=remote.is_trusted(address)):
        security.warning("tenant=%s was told of a move to what is no address of a CRM account", tenant.slug)
        return
    with transaction.atomic():
        tenant.crm.address = address
        tenant.crm.save(update_fields=["address"])
        enqueue(PROBE, tenant.pk)
