"""Tells the person who clicked a number that no call was started, and why: by a message of the CRM on their screen.

It is not a call event: that has no text, and looks like a call that somebody must handle.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import translation
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import http_client, logging, phone_numbers
from connector_project.core.check_results import Text
from connector_project.core.task_queue import enqueue, room
from connector_project.core.untrusted_input import parse_id
from crm import client_factory
from crm.models import Command
from crm.retailcrm.client import V4
from telephony import outgoing_requests

TASK = "crm.tasks.tell_refused_click"
# Later, nobody knows any more which click is meant.
TELL_WITHIN = timedelta(minutes=5)
QUEUED_AGAIN_AFTER = timedelta(minutes=1)  # the interval of the sweep
LONGEST_MESSAGE = 250
Kind, State, Reason = Command.Kind, Command.State, Command.Reason
# The call of the click before is being started; the number must not be written again.
_NOT_TOLD = frozenset({Reason.REPEATED, Reason.ERASED})
_UNTOLD = Q(kind=Kind.MAKE_CALL, state__in=[State.REFUSED, State.FAILED], told_at=None)
# Why UIS refuses a click, by its mnemonic: https://comagic.github.io/call_api/create_call/start_employee_call/
_VENDOR_REASONS: Mapping[str, Text] = {
    "employee_not_found": _("UIS does not know you as an employee. Ask for a synchronisation."),
    "no_active_phone_number": _("You have no active phone in UIS. Add one there."),
    "contact_in_blacklist": _("This number is on the blocklist in UIS."),
    "own_virtual_phone_number_not_allowed": Reason.OWN_NUMBER.label,
    "virtual_phone_number_not_found": _("UIS does not know the caller ID. Choose another one."),
    "direction_forbidden": _("Calls in this direction are forbidden in UIS."),
    "limit_exceeded": _("Too many requests to UIS. Click again in a minute."),
    "employee_busy": _("Your phone is busy."),
    "employee_offline": _("Your phone is offline or switched off in UIS."),
    "employee_status": _("Your status in UIS does not allow calls."),
    "not_enough_money": _("There is not enough money on the UIS account."),
}

logger = logging.logger(__name__)


@transaction.atomic
def queue(command: Command) -> None:
    """Queue the message about a click that was refused or failed; if this is lost, the sweep does it."""
    if command.kind == Kind.MAKE_CALL:
        enqueue(TASK, command.pk, queue="fast")


@transaction.atomic
def enqueue_due(*, now: datetime) -> None:
    """Queue the messages that were lost, and those about clicks that the sweep has ended: once, by the minute."""
    ended = Q(finished_at__gt=now - 2 * QUEUED_AGAIN_AFTER, finished_at__lte=now - QUEUED_AGAIN_AFTER)
    due = Command.objects.filter(_UNTOLD, ended, received_at__gt=now - TELL_WITHIN)
    for pk in due.order_by("pk").values_list("pk", flat=True)[: room("fast")]:
        enqueue(TASK, pk, queue="fast")


def tell(command_id: int, *, now: datetime) -> None:
    """Tell who clicked, once at most: a message that may have been shown is not repeated."""
    if not Command.objects.filter(_UNTOLD, pk=command_id).update(told_at=now):
        return
    command = Command.objects.select_related("tenant__crm", "tenant__uis", "employee").get(pk=command_id)
    user_id, connection = _who_clicked(command), command.tenant.crm
    if user_id is None or not command.tenant.is_live or now - command.received_at > TELL_WITHIN:
        return
    is_possible = client_factory.version_of(connection) != V4 and not connection.is_circuit_open(is_live=True, now=now)
    if command.reason in _NOT_TOLD or not is_possible:
        return
    with translation.override(command.tenant.language):
        text = message(command)
    with outgoing_requests.kept(command.tenant_id, command_id=command.pk):
        try:
            client_factory.crm_client(connection, is_live=True).notify(user_id, text)
        except http_client.RemoteError as exc:
            # Nothing else depends on this right, and the CRM has had the reason as the answer to a refused click.
            logger.warning("a refused click was not told", tenant=command.tenant.slug, error=str(exc))


def message(command: Command) -> str:
    """Return which click it is, and why no call was started, in the active language."""
    number = phone_numbers.e164(command.contact) or Truncator(command.params.get("phone", "").strip()).chars(40)
    reason = reason_text(command)
    text = gettext("Call to %(number)s: %(reason)s") % {"number": number, "reason": reason} if number else reason
    return Truncator(text).chars(LONGEST_MESSAGE)


def reason_text(command: Command) -> str:
    """Return why a click started no call; what we have no text for, as the vendor says it."""
    if known := _VENDOR_REASONS.get(command.vendor_code):
        return str(known)
    reason = str(command.get_reason_display())
    return f"{reason} {command.detail}".strip() if command.reason == Reason.UIS_REFUSED else reason


def _who_clicked(command: Command) -> int | None:
    """Return the CRM user: as the CRM named them, else the one of the employee with the extension that it named."""
    named = parse_id(command.params.get("userId", ""))
    return named or (command.employee.crm_user_id if command.employee else None)
