"""Receives webhooks: store and commit first, then process."""

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

# After this the sweep queues the task again: its push may have been lost.
HANDED_ON = timedelta(minutes=1)
TRY_AGAIN = timedelta(minutes=5)
SWEPT_AT_ONCE = 500

logger = logging.getLogger(__name__)
Outcome, Reason = Notification.Outcome, Notification.Reason


def receive(tenant: Tenant, *, event: str, query: str, body: str, now: datetime, is_old_address: bool = False) -> None:
    """Store a webhook, then process it. Never raises once it is stored: UIS may not send it again."""
    stored = Notification.store(tenant, event=event, query=query, body=body, now=now, is_old_address=is_old_address)
    if stored is not None:
        _process_or_log(stored, now=now)


def decide_left(*, now: datetime) -> int:
    """Process notifications left over by a crash or a lost queue; return how many."""
    pending = Notification.objects.filter(next_attempt_at__lte=now).select_related("tenant__uis", "tenant__rules")
    batch = list(pending.order_by("next_attempt_at")[:SWEPT_AT_ONCE])
    for stored in batch:
        # Postpone first: a row that breaks our code must not be retried every minute.
        Notification.objects.filter(pk=stored.pk).update(next_attempt_at=now + TRY_AGAIN)
        _process_or_log(stored, now=now)
    return len(batch)


def read_again(stored: Notification, *, event: str = "", now: datetime) -> bool:
    """Reprocess an unreadable notification; return whether it is readable now. Old ringing events open no pop-up.

    `event` is used if the notification names no known event. Concurrent calls for one row wait for each other.
    """
    try:
        try:
            return _reprocess(stored, event=event, now=now)
        except IntegrityError:
            # Another notification of the call was processed concurrently.
            return _reprocess(stored, event=event, now=now)
    except Exception:
        # A row that breaks our code must not block the rest.
        logger.exception("tenant=%s notification=%s reprocessing failed", stored.tenant_id, stored.pk)
        return False


@transaction.atomic
def _reprocess(stored: Notification, *, event: str, now: datetime) -> bool:
    rows = Notification.objects.select_for_update(of=("self",)).select_related("tenant__uis", "tenant__rules")
    fresh = rows.get(pk=stored.pk)
    if fresh.outcome != Outcome.UNREADABLE:
        return False
    if event and fresh.reason in {Reason.NO_EVENT, Reason.UNKNOWN_EVENT}:
        fresh.path_event = event
        fresh.save(update_fields=["path_event"])
    decide(fresh, now=now)
    return fresh.outcome != Outcome.UNREADABLE


def _process_or_log(stored: Notification, *, now: datetime) -> None:
    try:
        try:
            decide(stored, now=now)
        except IntegrityError:
            # Another notification of the call was processed concurrently; the retry finds its row.
            decide(stored, now=now)
    except Exception:
        logger.exception("tenant=%s notification=%s processing failed", stored.tenant.slug, stored.pk)


@transaction.atomic
def decide(stored: Notification, *, now: datetime) -> None:
    """Process a stored notification; a repeat is only marked as such."""
    parsed = facts.read(stored)
    if isinstance(parsed, Heard):
        _copy_search_fields(stored, parsed)
    if _is_repeat(stored, parsed.key):
        return stored.close(Outcome.REPEATED)
    stored.key = parsed.key
    _dispatch(stored, parsed, now=now)


def _dispatch(stored: Notification, parsed: Said, *, now: datetime) -> None:
    if isinstance(parsed, Unreadable):
        return stored.close(Outcome.UNREADABLE, parsed.fault, parsed.detail)
    has_changed = hearing.hear(stored.tenant, parsed, now=now)
    match parsed:
        case WaitingCall():
            _queue(stored, route.POPUP, now=now)
        case TalkStarted() | FinishedCall():
            _queue(stored, route.HANGUP, now=now)
        case Recorded() | Mentioned():
            stored.close(Outcome.DONE, "" if has_changed else Reason.NOTHING_TO_DO)


def _copy_search_fields(stored: Notification, event: Heard) -> None:
    """Copy the fields the row is searched by."""
    stored.event, stored.session_id = event.event, event.session_id
    stored.employee_uis_id, stored.happened_at = event.employee_id, event.happened_at


def _is_repeat(stored: Notification, key: str) -> bool:
    return Notification.objects.filter(tenant=stored.tenant, key=key).exclude(pk=stored.pk).exists()


def _queue(stored: Notification, task: str, *, now: datetime) -> None:
    stored.hand_on(until=now + HANDED_ON)
    enqueue(task, stored.pk, queue="fast")
