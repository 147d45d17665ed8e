"""Callbacks about our integration module: switched on or off, account renamed, settings changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from connector_project.core import logging, transactions
from connector_project.core.http_client import MODULE
from connector_project.core.untrusted_input import parse_json_object
from crm import checks, commands, renamed_accounts
from crm.models import Command
from crm.retailcrm.errors import TELEPHONY_OFF
from tenants.access_errors import SWITCHED_OFF
from tenants.models import CrmConnection, Tenant
from tenants.models.connections import normalise_address
from tenants.models.tenant import validate_time_zone

security = logging.logger("connector.security")


@transactions.atomic
def activity(tenant: Tenant, request: Mapping[str, str], *, now: datetime) -> Command:
    """Process a switch of the module: off suspends the CRM connection, on ends that.

    Stored and done at once: nothing would take up what a killed process leaves.
    """
    command = commands.store(tenant, Command.Kind.ACTIVITY, request, now=now)
    data = parse_json_object(request.get("activity"))
    if data is None:
        return command.close(Command.State.REFUSED, Command.Reason.BAD_REQUEST, now=now)
    return _switch(command, is_on=_is_on(data), address=request.get("systemUrl", ""), now=now)


@transactions.atomic
def settings_changed(tenant: Tenant, request: Mapping[str, str], *, now: datetime) -> Command:
    """Store the account's time zone."""
    command = commands.store(tenant, Command.Kind.SETTINGS, request, now=now)
    data = parse_json_object(request.get("settings"))
    if data is None:
        return command.close(Command.State.REFUSED, Command.Reason.BAD_REQUEST, now=now)
    zone = data.get("timezone")
    name = str(zone.get("value") or "") if isinstance(zone, dict) else ""
    try:
        validate_time_zone(name)
    except ValidationError:
        return command.close(Command.State.REFUSED, Command.Reason.BAD_REQUEST, name, now=now)
    if name:
        CrmConnection.objects.filter(tenant=tenant).update(time_zone=name)
    return command.close(Command.State.DONE, now=now)


def _switch(command: Command, *, is_on: bool, address: str, now: datetime) -> Command:
    """Do what the callback says, unless the client was disconnected since it came."""
    tenant = Tenant.objects.lock(command.tenant_id)
    if tenant is None or tenant.offboarded_at is not None:
        return command.close(Command.State.REFUSED, Command.Reason.NOT_ACTIVE, now=now)
    if is_on:
        tenant.crm.lift(SWITCHED_OFF, MODULE)
    else:
        tenant.crm.suspend(TELEPHONY_OFF, "The module was switched off in the CRM.", subject=SWITCHED_OFF, now=now)
    _note_address(tenant, address)
    return command.close(Command.State.DONE, now=now)


def _is_on(data: Mapping[str, Any]) -> bool:
    return _is_yes(data.get("active")) and not _is_yes(data.get("freeze"))


def _is_yes(value: object) -> bool:
    """Parse a boolean; PHP may send it as text or as a number."""
    return str(value).lower() in {"true", "1"}


def _note_address(tenant: Tenant, address: str) -> None:
    """Note the URL that the CRM reports, if it is that of an account; a task finds out whether it is another one."""
    address = normalise_address(address)
    if not address:
        return
    if not checks.is_account_address(address).ok:
        security.warning("the CRM sent a systemUrl that is not a CRM account", tenant=tenant.slug)
        return
    renamed_accounts.request_look(tenant.crm, address)
