"""Processes stored webhooks: each is claimed, parsed once and applied to its call. Outcomes are values."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from structlog.contextvars import bind_contextvars

from connector_project.core import logging
from connector_project.core.compiled_queries import save_columns
from connector_project.core.jobs import MAX_LOST_LEASES, released
from connector_project.core.task_queue import Queue, enqueue, room
from connector_project.core.transactions import atomic, is_conflict
from telephony import task_names
from telephony.calls import apply_event, stored_events
from telephony.models import Notification, notification_statements
from telephony.models.notification import PROCESSING_FIELDS
from telephony.uis import webhooks
from telephony.uis.types import (
    AnsweredEvent,
    CallEvent,
    EndedEvent,
    ParsedWebhook,
    ParseError,
    RingingEvent,
    Unreadable,
)
from telephony.webhooks import erased_events, sources, turns

LATE_QUEUE: Queue = "default"
# A row that breaks our code must not be retried every minute.
RETRY_AFTER = timedelta(minutes=5)
MAX_ATTEMPTS = 12  # an hour

logger = logging.logger(__name__)
State, Reason = Notification.Outcome, Notification.Reason


@dataclass(frozen=True)
class Done:
    """What the event asks for was done."""

    reason: str = ""


@dataclass(frozen=True)
class Dropped:
    """Nothing was done, for this reason."""

    reason: Notification.Reason
    detail: str = ""


@dataclass(frozen=True)
class Postponed:
    """To be tried again by the sweep."""

    until: datetime
    detail: str = ""


Outcome = Done | Dropped | Postponed
DONE = Done()
Processed = tuple[Notification, CallEvent]


def process(notification_id: int, *, now: datetime) -> Processed | None:
    """Claim a notification that a wake-up missed, or one to try again, and process it as `process_claimed` does."""
    stored = Notification.objects.with_related().claim_one(notification_id, lease=turns.LEASE, now=now)
    return process_claimed(stored, now=now) if stored else None


def process_claimed(stored: Notification, *, now: datetime) -> Processed | None:
    """Parse and apply a notification; return it with its event if pop-ups are now to be opened or closed.

    What becomes of them is for `finish`. Never raises because of one row: it is logged, and retried later.
    """
    bind_contextvars(tenant=stored.tenant.slug, notification=stored.pk)
    if stored.lost_leases >= MAX_LOST_LEASES:
        _give_up(stored)
        return None
    try:
        with Notification.objects.returned_on_conflict(stored, now=now):
            event = _apply_once(stored, now=now)
    except Exception as exc:
        if is_conflict(exc):
            raise
        logger.exception("processing failed")
        if stored.attempts >= MAX_ATTEMPTS:
            _give_up(stored)
        else:
            Notification.objects.release_claimed(stored, now + RETRY_AFTER)
        return None
    return (stored, event) if stored.outcome == State.QUEUED and isinstance(event, CallEvent) else None


def _give_up(stored: Notification) -> None:
    """Close a notification that broke our code each time. One that was never read can be reprocessed by a person."""
    logger.error("processing failed each time")
    outcome = State.DROPPED if stored.outcome == State.QUEUED else State.UNREADABLE
    result = {"outcome": outcome, "reason": Reason.INTERNAL_ERROR, "detail": ""}
    Notification.objects.release_claimed(stored, None, **result)


def finish(stored: Notification, outcome: Outcome) -> None:
    """Write what became of the pop-up, unless another worker has claimed the notification since."""
    until: datetime | None = None
    match outcome:
        case Done(reason):
            result = {"outcome": State.DONE, "reason": reason, "detail": ""}
        case Dropped(reason, detail):
            result = {"outcome": State.DROPPED, "reason": reason, "detail": detail}
        case Postponed():
            until, result = outcome.until, {"detail": outcome.detail}
    Notification.objects.release_claimed(stored, until, **result)


def enqueue_due(*, now: datetime) -> int:
    """Queue notifications left over by a crash, a lost queue or a dead cluster; return how many.

    They are a minute old: too late for a pop-up, and no work for the queue in which live ones wait.
    """
    return _enqueue_due(now=now) if Notification.objects.is_any_due(now=now) else 0


@transaction.atomic
def _enqueue_due(*, now: datetime) -> int:
    Notification.objects.due(now=now).too_late_for_popup(now=now).update(
        outcome=State.DROPPED, reason=Reason.STALE, detail="", **released(None)
    )
    due = Notification.objects.requeue(limit=room(LATE_QUEUE), now=now)
    for pk in due:
        enqueue(task_names.PROCESS_LATE_NOTIFICATION, pk, queue=LATE_QUEUE)
    return len(due)


def reprocess(stored: Notification, *, event: str = "", now: datetime) -> bool:
    """Process an unreadable notification again; return whether it is readable now. Old ringing events open no pop-up.

    `event` is used if the notification names no known event. Concurrent calls for one row wait for each other.
    """
    try:
        try:
            return _reprocess(stored, event=event, now=now)
        except IntegrityError:
            # Another notification of the call was processed concurrently.
            return _reprocess(stored, event=event, now=now)
    except Exception as exc:
        if is_conflict(exc):
            raise
        # A row that breaks our code must not block the rest.
        logger.exception("reprocessing failed", notification=stored.pk)
        return False


@atomic
def _reprocess(stored: Notification, *, event: str, now: datetime) -> bool:
    fresh = Notification.objects.select_for_update(of=("self",)).with_related().get(pk=stored.pk)
    if fresh.outcome != State.UNREADABLE:
        return False
    if event and fresh.reason in {Reason.NO_EVENT, Reason.UNKNOWN_EVENT}:
        fresh.event_in_url = event
        fresh.save(update_fields=["event_in_url"])
    _apply(fresh, now=now)
    if fresh.outcome == State.QUEUED:
        fresh.release(now)
        fresh.save(update_fields=released(now))
        enqueue(task_names.PROCESS_LATE_NOTIFICATION, fresh.pk, queue=LATE_QUEUE)
    return fresh.outcome != State.UNREADABLE


def _apply_once(stored: Notification, *, now: datetime) -> CallEvent | Unreadable:
    if stored.outcome == State.QUEUED:
        # Applied before; its worker died at the pop-up.
        return stored_events.load(stored.parsed_event) if stored.parsed_event else _parse(stored)
    try:
        return _apply(stored, now=now)
    except IntegrityError:
        # Another notification of the call was processed concurrently; the retry finds its row.
        return _apply(stored, now=now)


@transaction.atomic
def _apply(stored: Notification, *, now: datetime) -> CallEvent | Unreadable:
    """Parse a notification and apply it to its call; a repeat is only marked as such."""
    parsed = _parse(stored)
    if isinstance(parsed, CallEvent):
        if stored.tenant.erased_numbers and erased_events.is_erased(stored, parsed):
            return erased_events.drop(stored, parsed)
        _store_event(stored, parsed)
    if isinstance(parsed, CallEvent) and stored.tenant.uis.expected_sources and not sources.is_expected(stored):
        sources.disregard(stored, now=now)
    elif _is_repeat(stored, parsed):
        stored.key = None  # It may be set since a try that met the other notification.
        stored.close(State.REPEATED)
        if isinstance(parsed, CallEvent):  # The key is not all that it tells: its contact may be known now.
            apply_event.apply_event(stored.tenant, parsed, now=now)
    else:
        stored.key = parsed.key
        _decide(stored, parsed, now=now)
    save_columns(stored, PROCESSING_FIELDS)
    return parsed


def _decide(stored: Notification, parsed: ParsedWebhook, *, now: datetime) -> None:
    if isinstance(parsed, Unreadable):
        reason = Reason.BAD_CHARSET if _has_bad_charset(stored) else parsed.error
        return stored.close(State.UNREADABLE, reason, parsed.detail)
    has_changed = apply_event.apply_event(stored.tenant, parsed, now=now)
    if isinstance(parsed, RingingEvent | AnsweredEvent | EndedEvent):
        stored.outcome, stored.reason, stored.detail = State.QUEUED, Reason.NONE, ""
        return None
    return stored.close(State.DONE, "" if has_changed else Reason.NOTHING_TO_DO)


def _parse(stored: Notification) -> ParsedWebhook:
    if _has_bad_charset(stored):
        return Unreadable(ParseError.NOT_JSON, "", key=stored.digest)
    uis = stored.tenant.uis
    return webhooks.parse(stored.query, stored.body, event=stored.event_in_url, zone=uis.zone, region=uis.region)


def _has_bad_charset(stored: Notification) -> bool:
    """Whether the web process could not decode the body. A person may reprocess it all the same."""
    return stored.outcome == State.RECEIVED and stored.reason == Reason.BAD_CHARSET


def _store_event(stored: Notification, event: CallEvent) -> None:
    """Store the parsed event, and the fields the row is searched by."""
    stored.parsed_event = stored_events.dump(event)
    stored.event, stored.session_id = event.event, event.session_id
    stored.employee_uis_id, stored.happened_at = event.employee_id, event.happened_at


def _is_repeat(stored: Notification, parsed: ParsedWebhook) -> bool:
    """Whether it was processed before; for an event, the oldest that it supersedes is dropped. One query."""
    if isinstance(parsed, Unreadable):
        return notification_statements.is_repeated(stored, parsed.key)
    session_id, event, limit = parsed.session_id, parsed.event, stored_events.KEPT[parsed.event]
    is_repeat, superseded = notification_statements.find_repeated_and_superseded(
        stored, parsed.key, session_id=session_id, event=event, limit=limit
    )
    if superseded:
        kept = Notification.objects.kept_events(stored.tenant_id, session_id).filter(event=event)
        kept.filter(pk__lte=superseded).supersede()
    return is_repeat
