"""Callbacks about our integration module: switched on or off, account renamed, settings changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from connector_project.core import logging, transactions
from connector_project.core.http_client import MODULE
from connector_project.core.task_queue import enqueue
from connector_project.core.untrusted_input import parse_json_object
from crm import checks, commands, integration_module
from crm.models import Command
from crm.retailcrm.errors import TELEPHONY_OFF
from tenants import account_claims
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
    _update_address(tenant, address)
    return command.close(Command.State.DONE, now=now)


def _is_on(data: Mapping[str, Any]) -> bool:
    return _is_yes(data.get("active")) and not _is_yes(data.get("freeze"))


def _is_yes(value: object) -> bool:
    """Parse a boolean; PHP may send it as text or as a number."""
    return str(value).lower() in {"true", "1"}


def _update_address(tenant: Tenant, address: str) -> None:
    """Store the new URL of a renamed account if it is a valid one: our key is sent there from now on.

    Like the vendor's own modules, ours registers again there; in a task, because the CRM waits for our response.
    """
    address = normalise_address(address)
    if not address or address == tenant.crm.account:
        return
    if not checks.is_account_address(address).ok:
        security.warning("the CRM sent a systemUrl that is not a CRM account", tenant=tenant.slug)
        return
    if account_claims.find_same_address(tenant.crm, address):
        security.warning("the CRM sent the systemUrl of another client's account", tenant=tenant.slug)
        return
    tenant.crm.address = address
    tenant.crm.save(update_fields=["address"])
    enqueue(tenant.crm.PROBE_TASK if tenant.crm.suspension else integration_module.TASK, tenant.pk)
