"""Work a person orders for many rows at once: looked at first, then done part by part, and never a row twice."""

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

PART = 200  # rows a worker takes at once
MOST = 100_000
SAMPLE = 5
TRIES = 5  # a part that kills its worker, or breaks, does so each time: somebody must be told
Kind, Verb = Errand.Kind, Change.Verb
VERBS = {Kind.TRY_AGAIN: Verb.TRIED_AGAIN, Kind.SKIP: Verb.SKIPPED, Kind.READ_AGAIN: Verb.READ_AGAIN}


@dataclass(frozen=True)
class Foreseen:
    """What an order would be about: how many rows, of which kind, and a few of them. Nothing is written."""

    total: int
    by_state: Mapping[str, int]
    sample: Sequence[Any]

    @property
    def is_too_large(self) -> bool:
        """Whether it is more than a person can mean."""
        return self.total > MOST


def rows(kind: str, chosen: Mapping[str, str]) -> QuerySet[Any]:
    """Return the rows an order is about: those chosen with which the deed makes sense."""
    if kind == Kind.READ_AGAIN:
        return unread.notifications(chosen)
    found = wanted.calls(chosen)
    still_out = [State.SETTLING, State.COLLECTING, State.OWNING, State.READY]
    return found.filter(state__in=still_out if kind == Kind.SKIP else [*still_out, State.SKIPPED])


def foresee(kind: str, chosen: Mapping[str, str]) -> Foreseen:
    """Look what an order would be about; it is counted no further than an order may go."""
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
    """Have it done; None where there is nothing to do, or too much."""
    seen = foresee(kind, chosen)
    if not seen.total or seen.is_too_large:
        return None
    newest = rows(kind, chosen).order_by().aggregate(Max("pk"))["pk__max"]
    errand = Errand.objects.create(
        kind=kind,
        chosen=dict(chosen),
        reason=reason,
        by=by if isinstance(by, User) else None,
        asked_at=now,
        total=seen.total,
        last=newest,
        next_attempt_at=now,
    )
    enqueue(route.ERRAND, errand.pk)
    return errand


def step(pk: int, *, now: datetime) -> None:
    """Do a part of an order, and let the next part be done."""
    errand = Errand.objects.claim(pk, now=now)
    if errand is None:
        return
    if errand.attempts > TRIES:
        return _finish(errand, Counter(), 0, state=Errand.State.FAILED, now=now)
    found = rows(errand.kind, errand.chosen).filter(pk__gt=errand.reached, pk__lte=errand.last)
    part = list(found.order_by("pk")[:PART])
    done = _do(errand, part, now=now)
    errand.reached = part[-1].pk if part else errand.last
    _finish(errand, done, len(part), state=None if len(part) == PART else Errand.State.DONE, now=now)


@transaction.atomic
def cancel(pk: int, *, by: By, now: datetime) -> bool:
    """Break an order off; what is done is done. Say whether there was anything to break off."""
    errand = Errand.objects.select_for_update(of=("self",)).get(pk=pk)
    if errand.state != Errand.State.RUNNING:
        return False
    _end(errand, Errand.State.CANCELLED, now=now)
    errand.save()
    return True


def resume_due(*, now: datetime) -> None:
    """Nudge what is due: its worker died, or its push was lost."""
    with transaction.atomic():
        for errand in Errand.objects.due(now=now):
            enqueue(route.ERRAND, errand.pk)


def _do(errand: Errand, part: Sequence[Any], *, now: datetime) -> Counter[int]:
    """Do it with each row of a part; a row that has moved on meanwhile is left alone."""
    if errand.kind == Kind.READ_AGAIN:
        return Counter(
            row.tenant_id for row in part if inbox.read_again(row, event=errand.chosen.get("event", ""), now=now)
        )
    if errand.kind == Kind.SKIP:
        return mending.each(part, lambda call: mending.skip(call, errand.reason, by=errand.by, now=now))
    done = mending.each(part, lambda call: mending.try_again(call, is_one_of_many=True, by=errand.by, now=now))
    calls.resume_due(now=now)
    return done


@transaction.atomic
def _finish(errand: Errand, done: Counter[int], looked_at: int, *, state: str | None, now: datetime) -> None:
    """Write what a part came to, unless another worker has it by now."""
    ours = Errand.objects.filter(pk=errand.pk, claim_token=errand.claim_token)
    fresh = ours.select_for_update(of=("self",)).select_related("by").first()
    if fresh is None:
        return _add_to_cancelled(errand, done, looked_at, now=now)
    fresh.reached = errand.reached
    _add(fresh, done, looked_at)
    fresh.claim_token, fresh.attempts, fresh.next_attempt_at = None, 0, now
    if state is not None:
        _end(fresh, Errand.State(state), now=now)
    fresh.save()
    if state is None:
        enqueue(route.ERRAND, fresh.pk)


def _add_to_cancelled(errand: Errand, done: Counter[int], looked_at: int, *, now: datetime) -> None:
    """Write down what a worker still did while somebody broke the order off."""
    found = Errand.objects.select_for_update(of=("self",)).select_related("by")
    fresh = found.filter(pk=errand.pk, state=Errand.State.CANCELLED).first()
    if fresh is None:
        return
    _add(fresh, done, looked_at)
    fresh.save()
    mending.write_down(done, VERBS[Kind(fresh.kind)], by=fresh.by, reason=fresh.reason, now=now)


def _add(errand: Errand, done: Counter[int], looked_at: int) -> None:
    errand.done += done.total()
    errand.left += looked_at - done.total()
    errand.done_of = dict(Counter(errand.done_of) + Counter({str(pk): count for pk, count in done.items()}))


def _end(errand: Errand, state: Errand.State, *, now: datetime) -> None:
    errand.end(state, now=now)
    done = {int(pk): count for pk, count in errand.done_of.items()}
    mending.write_down(done, VERBS[Kind(errand.kind)], by=errand.by, reason=errand.reason, now=now)
