"""Bulk actions: one action on many rows, previewed, then run in batches; no row is processed twice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Count, Max, QuerySet

from connector_project.core.task_queue import enqueue
from telephony import task_names
from telephony.calls import filters, manual, steps
from telephony.models import BulkAction, State
from telephony.models.choices import OPEN_STATES
from telephony.webhooks import process, unreadable
from tenants.audit import Actor
from tenants.models import AuditLogEntry

CHUNK = 200  # rows per batch
MAX_ROWS = 100_000
SAMPLE = 5
MAX_ATTEMPTS = 5  # a batch that crashes its worker does so every time: the action fails
Kind, Action = BulkAction.Kind, AuditLogEntry.Action
AUDIT_ACTIONS = {Kind.RETRY: Action.CALLS_RETRIED, Kind.SKIP: Action.CALLS_SKIPPED, Kind.REPROCESS: Action.REPROCESSED}


@dataclass(frozen=True)
class Preview:
    """What a bulk action would affect: number of rows by state, and a sample."""

    total: int
    by_state: Mapping[str, int]
    sample: Sequence[Any]

    @property
    def is_too_large(self) -> bool:
        return self.total > MAX_ROWS


def rows(kind: str, chosen: Mapping[str, str]) -> QuerySet[Any]:
    """Return the selected rows to which the action can apply."""
    if kind == Kind.REPROCESS:
        return unreadable.notifications(chosen)
    found = filters.matching_calls(chosen)
    return found.filter(state__in=OPEN_STATES if kind == Kind.SKIP else [*OPEN_STATES, State.SKIPPED])


def preview(kind: str, chosen: Mapping[str, str]) -> Preview:
    """Preview a bulk action; counting stops just above the limit. Nothing is written."""
    found = rows(kind, chosen)
    total = found.order_by()[: MAX_ROWS + 1].count()
    if total > MAX_ROWS:
        return Preview(total, {}, [])
    field = "reason" if kind == Kind.REPROCESS else "state"
    counts = dict(found.order_by().values_list(field).annotate(Count("pk")))
    sample = found.select_related("tenant")[:SAMPLE]
    return Preview(total, counts, list(sample))


@transaction.atomic
def start(kind: str, chosen: Mapping[str, str], *, reason: str = "", by: Actor, now: datetime) -> BulkAction | None:
    """Start a bulk action; return None if it matches no rows, or too many."""
    found = preview(kind, chosen)
    if not found.total or found.is_too_large:
        return None
    newest = rows(kind, chosen).order_by().aggregate(Max("pk"))["pk__max"]
    action = BulkAction.objects.create(
        kind=kind,
        filters=dict(chosen),
        reason=reason,
        requested_by=by if isinstance(by, get_user_model()) else None,
        requested_at=now,
        total=found.total,
        max_pk=newest,
        next_attempt_at=now,
    )
    enqueue(task_names.RUN_BULK_ACTION, action.pk)
    return action


def step(pk: int, *, now: datetime) -> None:
    """Run the next batch of a bulk action, and enqueue the one after it."""
    action = BulkAction.objects.select_related("requested_by").claim_one(pk, now=now)
    if action is None:
        return
    if action.attempts > MAX_ATTEMPTS:
        return _finish(action, Counter(), 0, state=BulkAction.State.FAILED, now=now)
    found = rows(action.kind, action.filters).filter(pk__gt=action.last_pk, pk__lte=action.max_pk)
    batch = list(found.order_by("pk")[:CHUNK])
    done = _do(action, batch, now=now)
    action.last_pk = batch[-1].pk if batch else action.max_pk
    _finish(action, done, len(batch), state=None if len(batch) == CHUNK else BulkAction.State.DONE, now=now)


@transaction.atomic
def cancel(pk: int, *, by: Actor, now: datetime) -> bool:
    """Cancel a bulk action, keeping what was done; return whether it was running."""
    action = BulkAction.objects.select_for_update(of=("self",)).get(pk=pk)
    if action.state != BulkAction.State.RUNNING:
        return False
    _finish_action(action, BulkAction.State.CANCELLED, now=now)
    action.save()
    return True


def resume_due(*, now: datetime) -> None:
    """Enqueue bulk actions whose worker died or whose push was lost."""
    with transaction.atomic():
        for pk in BulkAction.objects.requeue(now=now):
            enqueue(task_names.RUN_BULK_ACTION, pk)


def _do(action: BulkAction, batch: Sequence[Any], *, now: datetime) -> Counter[int]:
    """Apply the action to each row of a batch; a row whose state has changed is skipped."""
    if action.kind == Kind.REPROCESS:
        return Counter(
            row.tenant_id for row in batch if process.reprocess(row, event=action.filters.get("event", ""), now=now)
        )
    if action.kind == Kind.SKIP:
        return manual.apply_to_each(
            batch, lambda call: manual.skip(call, action.reason, by=action.requested_by, now=now)
        )
    done = manual.apply_to_each(
        batch, lambda call: manual.retry(call, is_one_of_many=True, by=action.requested_by, now=now)
    )
    steps.resume_due(now=now)
    return done


@transaction.atomic
def _finish(action: BulkAction, done: Counter[int], batch_size: int, *, state: str | None, now: datetime) -> None:
    """Save the result of a batch, unless another worker has claimed the action."""
    claimed = BulkAction.objects.still_claimed(action)
    fresh = claimed.select_for_update(of=("self",)).select_related("requested_by").first()
    if fresh is None:
        return _add_to_cancelled(action, done, batch_size, now=now)
    fresh.last_pk = action.last_pk
    _add(fresh, done, batch_size)
    fresh.attempts = 0  # of the next part
    fresh.release(now)
    if state is not None:
        _finish_action(fresh, BulkAction.State(state), now=now)
    fresh.save()
    if state is None:
        enqueue(task_names.RUN_BULK_ACTION, fresh.pk)


def _add_to_cancelled(action: BulkAction, done: Counter[int], batch_size: int, *, now: datetime) -> None:
    """Count what a worker still did while the action was being cancelled."""
    found = BulkAction.objects.select_for_update(of=("self",)).select_related("requested_by")
    fresh = found.filter(pk=action.pk, state=BulkAction.State.CANCELLED).first()
    if fresh is None:
        return
    _add(fresh, done, batch_size)
    fresh.save()
    manual.log_per_tenant(done, AUDIT_ACTIONS[Kind(fresh.kind)], by=fresh.requested_by, reason=fresh.reason, now=now)


def _add(action: BulkAction, done: Counter[int], batch_size: int) -> None:
    action.done += done.total()
    action.skipped += batch_size - done.total()
    action.done_by_tenant = dict(
        Counter(action.done_by_tenant) + Counter({str(pk): count for pk, count in done.items()})
    )


def _finish_action(action: BulkAction, state: BulkAction.State, *, now: datetime) -> None:
    action.end(state, now=now)
    done = {int(pk): count for pk, count in action.done_by_tenant.items()}
    manual.log_per_tenant(done, AUDIT_ACTIONS[Kind(action.kind)], by=action.requested_by, reason=action.reason, now=now)
