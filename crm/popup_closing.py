"""Closes pop-ups in the CRM."""

from collections.abc import Sequence
from datetime import datetime

from django.utils import timezone

from connector_project.core import http_client, jobs, logging
from crm import call_records, client_factory
from crm.models import Popup, UnknownId
from crm.popup_statements import CLOSED
from crm.retailcrm.payloads import EventType, Hangup
from crm.retailcrm.types import EventAnswer
from telephony.models import Notification
from telephony.webhooks.process import DONE, Dropped, Outcome, Postponed
from tenants.models import Tenant

Reason = Notification.Reason

logger = logging.logger(__name__)


def try_to_close(popup: Popup, hangup: Hangup, *, now: datetime) -> None:
    """Close a pop-up that is obsolete as soon as it is open."""
    try:
        answer = _send_hangup([popup], hangup)
    except http_client.RemoteError as exc:
        Popup.objects.filter(pk=popup.pk).update(detail=str(exc))
    else:
        count_unknown(popup.tenant, answer, now=now)


def close(tenant: Tenant, popups: Sequence[Popup], hangup: Hangup, *, now: datetime) -> Outcome:
    """Close pop-ups of one call; if the CRM is unavailable, the sweep retries."""
    if not popups:
        return DONE
    if tenant.crm.is_circuit_open(is_live=True, now=now):
        return Postponed(now + jobs.QUEUED_FOR)
    try:
        answer = _send_hangup(popups, hangup)
    except http_client.RemoteUnavailable as exc:
        return Postponed(now + jobs.QUEUED_FOR, str(exc))
    except http_client.RemoteError as exc:
        tenant.crm.record_denial(exc, now=now)
        return Dropped(Reason.CRM_FAILED, str(exc))
    count_unknown(tenant, answer, now=now)
    return DONE


def _send_hangup(popups: Sequence[Popup], hangup: Hangup) -> EventAnswer:
    """Send one hangup event for all pop-ups of a call."""
    client = client_factory.crm_client(popups[0].tenant.crm, is_live=True)
    answer = client.send_event(call_records.event(EventType.HANGUP, popups, hangup=hangup))
    CLOSED.run(pks=[popup.pk for popup in popups], hangup=hangup.value, now=timezone.now())
    return answer


def count_unknown(tenant: Tenant, answer: EventAnswer, *, now: datetime) -> None:
    """Count unknown IDs."""
    try:
        unknown = {UnknownId.Kind.CODE: answer.unknown_codes, UnknownId.Kind.USER: answer.unknown_users}
        if any(unknown.values()):
            UnknownId.record(tenant, unknown, now=now)
    except Exception:
        # The pop-up was sent: a failed count must not send it again.
        logger.exception("unknown ids were not counted", tenant=tenant.slug)
