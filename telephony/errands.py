"""Bulk actions: one action on many rows, previewed, then run in batches; no row is processed twice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Max, QuerySet

from connector_project.queue import enqueue
from telephony import calls, inbox, mending, route, unread, wanted
from telephony.models import Errand, State
from tenants.journal import By
from tenants.models import Change

PART = 200  # rows per batch
MOST = 100_000
SAMPLE = 5
TRIES = 5  # a batch that crashes its worker does so every time: the action fails
Kind, Verb = Errand.Kind, Change.Verb
VERBS = {Kind.TRY_AGAIN: Verb.TRIED_AGAIN, Kind.SKIP: Verb.SKIPPED, Kind.READ_AGAIN: Verb.READ_AGAIN}


@dataclass(frozen=True)
class Foreseen:
    """What a bulk action would affect: number of rows by state, and a sample."""

    total: int
    by_state: Mapping[str, int]
    sample: Sequence[Any]

    @property
    def is_too_large(self) -> bool:
        return self.total > MOST


def rows(kind: str, chosen: Mapping[str, str]) -> QuerySet[Any]:
    """Return the selected rows to which the action can apply."""
    if kind == Kind.READ_AGAIN:
        return unread.notifications(chosen)
    found = wanted.calls(chosen)
    open_states = [State.SETTLING, State.COLLECTING, State.OWNING, State.READY]
    return found.filter(state__in=open_states if kind == Kind.SKIP else [*open_states, State.SKIPPED])


def foresee(kind: str, chosen: Mapping[str, str]) -> Foreseen:
    """Preview a bulk action; counting stops just above the limit. Nothing is written."""
    found = rows(kind, chosen)
    total = found.order_by()[: MOST + 1].count()
    if total > MOST:
        return Foreseen(total, {}, [])
    field = "reason" if kind == Kind.READ_AGAIN else "state"
    counts = dict(found.order_by().values_list(field).annotate(Count("pk")))
    sample = found.select_related("tenant")[:SAMPLE]
    return Foreseen(total, counts, list(sample))


@transaction.atomic
def order(kind: str, chosen: Mapping[str, str], *, reason: str = "", by: By, now: datetime) -> Errand | None:
    """Start a bulk action; return None if it matches no rows, or too many."""
    preview = foresee(kind, chosen)
    if not preview.total or preview.is_too_large:
        return None
    newest = rows(kind, chosen).order_by().aggregate(Max("pk"))["pk__max"]
    action = Errand.objects.create(
        kind=kind,
        chosen=dict(chosen),
        reason=reason,
        by=by if isinstance(by, User) else None,
        asked_at=now,
        total=preview.total,
        last=newest,
        next_attempt_at=now,
    )
    enqueue(route.ERRAND, action.pk)
    return action


def step(pk: int, *, now: datetime) -> None:
    """Run the next batch of a bulk action, and enqueue the one after it."""
    action = Errand.objects.claim(pk, now=now)
    if action is None:
        return
    if action.attempts > TRIES:
        return _finish(action, Counter(), 0, state=Errand.State.FAILED, now=now)
    found = rows(action.kind, action.chosen).filter(pk__gt=action.reached, pk__lte=action.last)
    batch = list(found.order_by("pk")[:PART])
    done = _do(action, batch, now=now)
    action.reached = batch[-1].pk if batch else action.last
    _finish(action, done, len(batch), state=None if len(batch) == PART else Errand.State.DONE, now=now)


@transaction.atomic
def cancel(pk: int, *, by: By, now: datetime) -> bool:
    """Cancel a bulk action, keeping what was done; return whether it was running."""
    action = Errand.objects.select_for_update(of=("self",)).get(pk=pk)
    if action.state != Errand.State.RUNNING:
        return False
    _end(action, Errand.State.CANCELLED, now=now)
    action.save()
    return True


def resume_due(*, now: datetime) -> None:
    """Enqueue bulk actions whose worker died or whose push was lost."""
    with transaction.atomic():
        for action in Errand.objects.due(now=now):
            enqueue(route.ERRAND, action.pk)


def _do(action: Errand, batch: Sequence[Any], *, now: datetime) -> Counter[int]:
    """Apply the action to each row of a batch; a row whose state has changed is skipped."""
    if action.kind == Kind.READ_AGAIN:
        return Counter(
            row.tenant_id for row in batch if inbox.read_again(row, event=action.chosen.get("event", ""), now=now)
        )
    if action.kind == Kind.SKIP:
        return mending.each(batch, lambda call: mending.skip(call, action.reason, by=action.by, now=now))
    done = mending.each(batch, lambda call: mending.try_again(call, is_one_of_many=True, by=action.by, now=now))
    calls.resume_due(now=now)
    return done


@transaction.atomic
def _finish(action: Errand, done: Counter[int], batch_size: int, *, state: str | None, now: datetime) -> None:
    """Save the result of a batch, unless another worker has claimed the action."""
    claimed = Errand.objects.filter(pk=action.pk, claim_token=action.claim_token)
    fresh = claimed.select_for_update(of=("self",)).select_related("by").first()
    if fresh is None:
        return _add_to_cancelled(action, done, batch_size, now=now)
    fresh.reached = action.reached
    _add(fresh, done, batch_size)
    fresh.claim_token, fresh.attempts, fresh.next_attempt_at = None, 0, now
    if state is not None:
        _end(fresh, Errand.State(state), now=now)
    fresh.save()
    if state is None:
        enqueue(route.ERRAND, fresh.pk)


def _add_to_cancelled(action: Errand, done: Counter[int], batch_size: int, *, now: datetime) -> None:
    """Count what a worker still did while the action was being cancelled."""
    found = Errand.objects.select_for_update(of=("self",)).select_related("by")
    fresh = found.filter(pk=action.pk, state=Errand.State.CANCELLED).first()
    if fresh is None:
        return
    _add(fresh, done, batch_size)
    fresh.save()
    mending.write_down(done, VERBS[Kind(fresh.kind)], by=fresh.by, reason=fresh.reason, now=now)


def _add(action: Errand, done: Counter[int], batch_size: int) -> None:
    action.done += done.total()
    action.left += batch_size - done.total()
    action.done_of = dict(Counter(action.done_of) + Counter({str(pk): count for pk, count in done.items()}))


def _end(action: Errand, state: Errand.State, *, now: datetime) -> None:
    action.end(state, now=now)
    done = {int(pk): count for pk, count in action.done_of.items()}
    mending.write_down(done, VERBS[Kind(action.kind)], by=action.by, reason=action.reason, now=now)
