"""Store first, then decide: a webhook is committed before anybody reads it."""

import logging
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from connector_project.queue import enqueue
from telephony import facts, hearing, route
from telephony.models import Notification
from telephony.uis.types import (
    FinishedCall,
    Heard,
    Mentioned,
    Recorded,
    Said,
    TalkStarted,
    Unreadable,
    WaitingCall,
)
from tenants.models import Tenant

# After this the sweep looks whether the push of a task was lost.
HANDED_ON = timedelta(minutes=1)
TRY_AGAIN = timedelta(minutes=5)
SWEPT_AT_ONCE = 500

logger = logging.getLogger(__name__)
Outcome, Reason = Notification.Outcome, Notification.Reason


def receive(tenant: Tenant, *, event: str, query: str, body: str, now: datetime, is_old_address: bool = False) -> None:
    """Store a webhook, then start what it calls for. Never raises once it is stored: UIS may not send it again."""
    stored = Notification.store(tenant, event=event, query=query, body=body, now=now, is_old_address=is_old_address)
    if stored is not None:
        _decide_or_leave(stored, now=now)


def decide_left(*, now: datetime) -> int:
    """Decide what a crash left undecided, and hand on again what a lost queue forgot; return how many."""
    left = Notification.objects.filter(next_attempt_at__lte=now).select_related("tenant__uis", "tenant__rules")
    batch = list(left.order_by("next_attempt_at")[:SWEPT_AT_ONCE])
    for stored in batch:
        # The next try is set first: a row that breaks our code must not be taken up every minute.
        Notification.objects.filter(pk=stored.pk).update(next_attempt_at=now + TRY_AGAIN)
        _decide_or_leave(stored, now=now)
    return len(batch)


def read_again(stored: Notification, *, event: str = "", now: datetime) -> bool:
    """Decide anew what could not be read before; say whether it can be read now. Old rings never pop up: they are old.

    Where nothing in it told the event, `event` may, as its address would have.

    Whoever reads the same one at the same moment waits, and finds it read.
    """
    try:
        try:
            return _read_again(stored, event=event, now=now)
        except IntegrityError:
            # Another notification of the call was decided at this moment.
            return _read_again(stored, event=event, now=now)
    except Exception:
        # One that breaks our code must not keep those behind it from being read.
        logger.exception("tenant=%s notification=%s could not be read again", stored.tenant_id, stored.pk)
        return False


@transaction.atomic
def _read_again(stored: Notification, *, event: str, now: datetime) -> bool:
    rows = Notification.objects.select_for_update(of=("self",)).select_related("tenant__uis", "tenant__rules")
    fresh = rows.get(pk=stored.pk)
    if fresh.outcome != Outcome.UNREADABLE:
        return False
    if event and fresh.reason in {Reason.NO_EVENT, Reason.UNKNOWN_EVENT}:
        fresh.path_event = event
        fresh.save(update_fields=["path_event"])
    decide(fresh, now=now)
    return fresh.outcome != Outcome.UNREADABLE


def _decide_or_leave(stored: Notification, *, now: datetime) -> None:
    try:
        try:
            decide(stored, now=now)
        except IntegrityError:
            # Two notifications of one call were decided at the same moment; the second look finds the other's row.
            decide(stored, now=now)
    except Exception:
        logger.exception("tenant=%s notification=%s could not be decided", stored.tenant.slug, stored.pk)


@transaction.atomic
def decide(stored: Notification, *, now: datetime) -> None:
    """Start what a stored notification calls for, once."""
    said = facts.read(stored)
    if isinstance(said, Heard):
        _note(stored, said)
    if _is_repeat(stored, said.key):
        return stored.close(Outcome.REPEATED)
    stored.key = said.key
    _start(stored, said, now=now)


def _start(stored: Notification, said: Said, *, now: datetime) -> None:
    if isinstance(said, Unreadable):
        return stored.close(Outcome.UNREADABLE, said.fault, said.detail)
    has_helped = hearing.hear(stored.tenant, said, now=now)
    match said:
        case WaitingCall():
            _hand_on(stored, route.POPUP, now=now)
        case TalkStarted() | FinishedCall():
            _hand_on(stored, route.HANGUP, now=now)
        case Recorded() | Mentioned():
            stored.close(Outcome.DONE, "" if has_helped else Reason.NOTHING_TO_DO)


def _note(stored: Notification, said: Heard) -> None:
    """Copy what the row is searched by."""
    stored.event, stored.session_id = said.event, said.session_id
    stored.employee_uis_id, stored.happened_at = said.employee_id, said.happened_at


def _is_repeat(stored: Notification, key: str) -> bool:
    return Notification.objects.filter(tenant=stored.tenant, key=key).exclude(pk=stored.pk).exists()


def _hand_on(stored: Notification, task: str, *, now: datetime) -> None:
    stored.hand_on(until=now + HANDED_ON)
    enqueue(task, stored.pk, queue="fast")
