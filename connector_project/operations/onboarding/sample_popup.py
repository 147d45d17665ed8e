"""Sends a sample pop-up to one manager's screen, without a call."""

import re
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connector_project.core import http_client, phone_numbers
from crm import client_factory
from crm.retailcrm.payloads import CallEvent, EventType, Hangup
from tenants.models import Employee, Tenant

_NOT_LINKED = gettext_lazy("The CRM does not know this employee. Link the employee to a CRM user first.")


class NotShown(Exception):
    """The pop-up was not shown; the text says why."""


def send(employee: Employee, *, contact: str, now: datetime) -> str:
    """Open a pop-up for this employee; return its ID for `close`. `contact` is digits. Raises NotShown."""
    popup_id = f"test-{employee.tenant_id}-{int(now.timestamp())}"
    _send(employee, EventType.IN, contact=contact, popup_id=popup_id)
    return popup_id


def is_sample(popup_id: str, tenant: Tenant) -> bool:
    """Return whether this is the ID of a sample pop-up of this client; only those may be closed."""
    return bool(re.fullmatch(rf"test-{tenant.pk}-\d{{1,12}}", popup_id, re.ASCII))


def close(employee: Employee, *, contact: str, popup_id: str) -> None:
    """Close the pop-up as answered: any other status would show a missed call. Raises NotShown."""
    _send(employee, EventType.HANGUP, contact=contact, popup_id=popup_id, hangup=Hangup.ANSWERED)


def _send(employee: Employee, kind: EventType, *, contact: str, popup_id: str, hangup: Hangup | None = None) -> None:
    connection, user_id = employee.tenant.crm, employee.crm_user_id
    if user_id is None:
        raise NotShown(_NOT_LINKED)
    code = connection.code_of(employee)
    event = CallEvent(
        type=kind,
        phone=phone_numbers.e164(contact),
        external_id=popup_id,
        codes=(code,) if code else (),
        user_ids=(user_id,),
        hangup=hangup,
    )
    try:
        answer = client_factory.crm_client(connection, is_live=True).send_event(event)
    except http_client.RemoteError as exc:
        raise NotShown(_("The CRM rejected the pop-up: %(detail)s") % {"detail": exc}) from exc
    if user_id in answer.unknown_users:
        raise NotShown(_NOT_LINKED)
