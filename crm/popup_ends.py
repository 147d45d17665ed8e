"""Ends the pop-ups of a call that is over. If nobody talked, the CRM is told why.

Our templates have no macro for the reason, because its values are not documented, but UIS's report has it. Where the
report is asked for the call anyway, the pop-ups wait for it, for `REASON_WAIT` at most; all others are closed at once.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from connector_project.core import logging
from connector_project.core.encrypted_fields import Undecryptable
from connector_project.core.task_queue import enqueue
from crm import hangups, popup_closing
from crm.models import Popup
from telephony import outgoing_requests, task_names
from telephony.calls import pipeline, sources
from telephony.calls.evidence import CallEvidence, UisSnapshot, load
from telephony.calls.sources import Sources
from telephony.models import Call, Notification, State
from telephony.uis.types import CallEvent
from telephony.webhooks.process import DONE, Done, Dropped, Outcome
from tenants.models import Tenant

REASON_WAIT = timedelta(seconds=60)
LEASE = timedelta(seconds=60)
BATCH = 100  # pop-ups

logger = logging.logger(__name__)


def end(tenant: Tenant, session_id: int, shown: Sequence[Popup], *, now: datetime) -> Outcome:
    """Close the pop-ups of a call whose end was told, or let them wait for the reason."""
    events = sources.events_by_session(tenant, [session_id])[session_id]
    evidence = CallEvidence(events, None, ())
    if not evidence.is_over:
        return Done(Notification.Reason.NOTHING_TO_DO)
    call = _call(tenant, session_id) if hangups.is_reason_open(evidence) else None
    if call is not None and _is_asked(call, now=now) and hangups.of_report(_report(call), evidence) is None:
        _wait(shown, now=now)
        return DONE
    return popup_closing.close(tenant, shown, hangups.status_of_end(evidence, _report(call)), now=now)


def end_opened(popup: Popup, events: Iterable[CallEvent], *, now: datetime) -> None:
    """Close a pop-up that was being opened while its call ended, or let it wait with the others."""
    evidence = CallEvidence(events, None, ())
    call = _call(popup.tenant, popup.session_id) if hangups.is_reason_open(evidence) else None
    if call is not None and _is_asked(call, now=now):
        _wait([popup], now=now)
    else:
        popup_closing.try_to_close(popup, hangups.status_of_end(evidence, _report(call)), now=now)


def close_waiting(tenant_id: int, *, now: datetime) -> None:
    """Close the pop-ups of one tenant for whose calls the report is there, or that have waited long enough."""
    tenant = Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant_id)
    free = Popup.objects.waiting(now=now).filter(tenant=tenant).order_by("close_by", "session_id", "pk")
    waiting = list(free.select_related("employee")[:BATCH])
    sessions = sorted({popup.session_id for popup in waiting})
    events = sources.events_by_session(tenant, sessions)
    calls = {call.session_id: call for call in Call.objects.filter(tenant=tenant, session_id__in=sessions)}
    for session_id, group in groupby(sorted(waiting, key=attrgetter("session_id")), attrgetter("session_id")):
        evidence = CallEvidence(events[session_id], None, ())
        with outgoing_requests.kept(tenant.pk, sessions=[session_id]):
            _close_if_due(tenant, list(group), evidence, _report(calls.get(session_id)), now=now)


def enqueue_due(*, now: datetime) -> int:
    """Queue the closing of pop-ups that have waited long enough, or whose worker died; return how many clients."""
    tenants = list(due(now).values_list("tenant", flat=True).distinct())
    for tenant_id in tenants:
        with transaction.atomic():
            enqueue(task_names.CLOSE_POPUPS, tenant_id, queue="fast")
    return len(tenants)


def due(now: Any) -> QuerySet[Popup]:
    """Return the pop-ups that have waited long enough, in no order."""
    return Popup.objects.waiting(now=now).filter(close_by__lte=now).order_by()


def _close_if_due(
    tenant: Tenant, popups: Sequence[Popup], evidence: CallEvidence, report: UisSnapshot, *, now: datetime
) -> None:
    mine = Popup.objects.waiting(now=now).filter(pk__in=[popup.pk for popup in popups])
    if not evidence.is_over:
        mine.update(close_by=None)  # A phone rings again; the next end closes them.
        return
    is_known = not hangups.is_reason_open(evidence) or hangups.of_report(report, evidence) is not None
    is_due = any(popup.close_by and popup.close_by <= now for popup in popups)
    if not (is_known or is_due):
        return
    # Of two tasks one gets them; if its worker dies, the sweep repeats it.
    mine.update(closing_until=now + LEASE)
    claimed = list(Popup.objects.shown().filter(pk__in=[popup.pk for popup in popups], closing_until=now + LEASE))
    for popup in claimed:
        popup.tenant = tenant
    outcome = popup_closing.close(tenant, claimed, hangups.status_of_end(evidence, report), now=now)
    if isinstance(outcome, Dropped):
        Popup.objects.filter(pk__in=[popup.pk for popup in claimed]).update(close_by=None, closing_until=None)


def _wait(shown: Iterable[Popup], *, now: datetime) -> None:
    unclosed = Popup.objects.shown().filter(pk__in=[popup.pk for popup in shown], close_by=None)
    unclosed.update(close_by=now + REASON_WAIT)


def _call(tenant: Tenant, session_id: int) -> Call | None:
    call = Call.objects.filter(tenant=tenant, session_id=session_id).select_related("employee").first()
    if call is not None:
        call.tenant = tenant
    return call


def _is_asked(call: Call, *, now: datetime) -> bool:
    """Whether UIS's report is asked for the call in the next seconds, whatever becomes of its pop-ups."""
    tenant = call.tenant
    is_away = tenant.uis.denied_at is not None or tenant.uis.is_circuit_open(is_live=True, now=now)
    if is_away or not tenant.is_live or call.failed_at is not None:
        return False
    if call.state == State.FETCHING_LEGS:
        return True
    return call.state == State.DEBOUNCING and pipeline.will_ask_report(
        call, Sources.load(tenant, [call.session_id]), now=now
    )


def _report(call: Call | None) -> UisSnapshot:
    """Return what UIS's report told of a call so far; nothing if that cannot be read."""
    try:
        return load(call.uis_snapshot) if call is not None else UisSnapshot()
    except (Undecryptable, ValueError):
        logger.exception("report of a call is unreadable", call=call.session_id if call else None)
        return UisSnapshot()
