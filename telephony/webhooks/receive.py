"""Receives webhooks: store and commit first, then process."""

import logging
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from connector_project.core.task_queue import enqueue
from telephony import task_names
from telephony.calls import apply_event, sources
from telephony.models import Notification
from telephony.uis.types import (
    AnsweredEvent,
    CallEvent,
    EndedEvent,
    OtherEvent,
    ParsedWebhook,
    RecordingEvent,
    RingingEvent,
    Unreadable,
)
from tenants.models import Tenant

# After this the sweep queues the task again: its push may have been lost.
QUEUED_FOR = timedelta(minutes=1)
RETRY_AFTER = timedelta(minutes=5)
SWEEP_LIMIT = 500

logger = logging.getLogger(__name__)
Outcome, Reason = Notification.Outcome, Notification.Reason


def receive(tenant: Tenant, *, event: str, query: str, body: str, now: datetime, via_old_hook: bool = False) -> None:
    """Store a webhook, then process it. Never raises once it is stored: UIS may not send it again."""
    stored = Notification.store(tenant, event=event, query=query, body=body, now=now, via_old_hook=via_old_hook)
    if stored is not None:
        _process_or_log(stored, now=now)


def process_pending(*, now: datetime) -> int:
    """Process notifications left over by a crash or a lost queue; return how many."""
    pending = Notification.objects.filter(next_attempt_at__lte=now).select_related("tenant__uis", "tenant__rules")
    batch = list(pending.order_by("next_attempt_at")[:SWEEP_LIMIT])
    for stored in batch:
        # Postpone first: a row that breaks our code must not be retried every minute.
        Notification.objects.filter(pk=stored.pk).update(next_attempt_at=now + RETRY_AFTER)
        _process_or_log(stored, now=now)
    return len(batch)


def reprocess(stored: Notification, *, event: str = "", now: datetime) -> bool:
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
        fresh.event_in_url = event
        fresh.save(update_fields=["event_in_url"])
    process(fresh, now=now)
    return fresh.outcome != Outcome.UNREADABLE


def _process_or_log(stored: Notification, *, now: datetime) -> None:
    try:
        try:
            process(stored, now=now)
        except IntegrityError:
            # Another notification of the call was processed concurrently; the retry finds its row.
            process(stored, now=now)
    except Exception:
        logger.exception("tenant=%s notification=%s processing failed", stored.tenant.slug, stored.pk)


@transaction.atomic
def process(stored: Notification, *, now: datetime) -> None:
    """Process a stored notification; a repeat is only marked as such."""
    parsed = sources.parse_stored(stored)
    if isinstance(parsed, CallEvent):
        _copy_search_fields(stored, parsed)
    if _is_repeat(stored, parsed.key):
        return stored.close(Outcome.REPEATED)
    stored.key = parsed.key
    _dispatch(stored, parsed, now=now)


def _dispatch(stored: Notification, parsed: ParsedWebhook, *, now: datetime) -> None:
    if isinstance(parsed, Unreadable):
        return stored.close(Outcome.UNREADABLE, parsed.error, parsed.detail)
    has_changed = apply_event.apply_event(stored.tenant, parsed, now=now)
    match parsed:
        case RingingEvent():
            _queue(stored, task_names.OPEN_POPUP, now=now)
        case AnsweredEvent() | EndedEvent():
            _queue(stored, task_names.CLOSE_POPUPS, now=now)
        case RecordingEvent() | OtherEvent():
            stored.close(Outcome.DONE, "" if has_changed else Reason.NOTHING_TO_DO)


def _copy_search_fields(stored: Notification, event: CallEvent) -> None:
    """Copy the fields the row is searched by."""
    stored.event, stored.session_id = event.event, event.session_id
    stored.employee_uis_id, stored.happened_at = event.employee_id, event.happened_at


def _is_repeat(stored: Notification, key: str) -> bool:
    return Notification.objects.filter(tenant=stored.tenant, key=key).exclude(pk=stored.pk).exists()


def _queue(stored: Notification, task: str, *, now: datetime) -> None:
    stored.mark_queued(until=now + QUEUED_FOR)
    enqueue(task, stored.pk, queue="fast")
