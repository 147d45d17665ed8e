"""A card on one manager's screen with nobody calling: shows that the way to him is open."""

import re
from datetime import datetime

from django.utils.translation import gettext as _

from connector_project import phones, remote
from crm import clients
from crm.retailcrm.types import CallEvent, EventType, Hangup
from tenants.models import Employee, Tenant


class NotShown(Exception):
    """The card did not reach the screen; the text says why."""


def show(employee: Employee, *, contact: str, now: datetime) -> str:
    """Open a card for this employee; return its id, by which it is closed. `contact` is digits. Raises NotShown."""
    card = f"test-{employee.tenant_id}-{int(now.timestamp())}"
    _send(employee, EventType.IN, contact=contact, card=card)
    return card


def is_one(card: str, tenant: Tenant) -> bool:
    """Say whether this is the id of a test card of this client: nothing else may be closed by it."""
    return bool(re.fullmatch(rf"test-{tenant.pk}-\d{{1,12}}", card, re.ASCII))


def close(employee: Employee, *, contact: str, card: str) -> None:
    """Take the card off the screen, as if it was answered: any other end shows a missed call. Raises NotShown."""
    _send(employee, EventType.HANGUP, contact=contact, card=card, hangup=Hangup.ANSWERED)


def _send(employee: Employee, kind: EventType, *, contact: str, card: str, hangup: Hangup | None = None) -> None:
    event = CallEvent(
        type=kind,
        phone=phones.e164(contact),
        external_id=card,
        codes=(employee.extension,) if employee.extension else (),
        user_ids=(employee.crm_user_id,) if employee.crm_user_id else (),
        hangup=hangup,
    )
    try:
        answer = clients.crm_client(employee.tenant.crm, is_live=True).send_event(event)
    except remote.RemoteError as exc:
        raise NotShown(_("The CRM did not take the card: %(says)s") % {"says": exc}) from exc
    if employee.crm_user_id in answer.unknown_users or (not employee.crm_user_id and answer.unknown_codes):
        raise NotShown(_("The CRM does not know this employee. Link him to a user of the CRM first."))
