"""Periodic work of all clients, spread over its period: it never fills the queue that uploads wait in.

A round queues a few clients at a time, in the order of their primary keys, so each has about the same time between two
turns. The ticker goes on with it while little waits in the queue. Clients whose turns come soon after each other
have them together, and may share a task, which costs less than one for each; it is as if each had their own
(`for_each`).
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from connector_project.core import logging
from connector_project.core.compiled_queries import CompiledSelect, save_columns
from connector_project.core.models import PeriodicRound
from connector_project.core.task_queue import depth, enqueue
from tenants.models import Tenant

logger = logging.logger(__name__)

# So few clients are queued at once when a round begins: they need not be spread.
AT_ONCE = 8
# Entries that are added to an empty queue at once, and those that may wait in another: beyond that one at a time.
MOST_ADDED, MOST_WAITING = 25, 5
# A task that took longer is shared no more: those who are left get tasks of their own.
SLOW_SECONDS = 1.0
# A turn comes so much later at most, to be had together with the next ones: seconds, or a part of a longer period.
TOGETHER_SECONDS, TOGETHER_PART = 15.0, 1 / 40
# What `is_needed` may ask for without a further query.
NEEDED_COLUMNS = ("time_zone", "activated_at")
# The part of the period in which all clients have their turn.
PART_OF_PERIOD = 0.9


@dataclass(frozen=True, kw_only=True)
class PeriodicWork:
    """A task that is due for each of these clients once in a period; some may not need it this time."""

    task: str
    minutes: int
    clients: Callable[[], "QuerySet[Tenant]"]  # always the same query: it is compiled
    is_needed: Callable[[Tenant, datetime], bool] = lambda _tenant, _now: True
    most_clients: int = 1  # of one task, which then runs `for_each`
    together: int = 1  # clients whose turns may come at once, up to MOST_ADDED; no less than those of one task

    def due(self, current: PeriodicRound, *, now: datetime) -> int:
        """Return how many further clients have their turn now if a round keeps its pace."""
        period = timedelta(minutes=self.minutes) * PART_OF_PERIOD
        part = (now - current.started_at) / period
        count = AT_ONCE + int(part * current.clients) - current.queued
        part_together = max(TOGETHER_SECONDS / period.total_seconds(), TOGETHER_PART)
        at_once = int(current.clients * part_together)
        wanted = min(max(self.together, self.most_clients), at_once, current.clients - current.queued)
        return count if count >= wanted else 0


@transaction.atomic
def begin(work: PeriodicWork, *, now: datetime) -> None:
    """Begin a round. One that is not over goes on instead: its last clients have not had their turn."""
    PeriodicRound.objects.get_or_create(task=work.task, defaults={"started_at": now})
    current = PeriodicRound.objects.select_for_update().get(task=work.task)
    if current.is_over:
        current.started_at, current.clients = now, work.clients().count()
        current.queued, current.last_client, current.is_over = 0, 0, False
    _queue(work, current, at_most=AT_ONCE if current.clients <= AT_ONCE else _room(), now=now)


def go_on(works: Iterable[PeriodicWork], *, now: datetime) -> None:
    """Queue the clients whose turn has come, of the round that began first before the others."""
    by_task = {work.task: work for work in works}
    unfinished = [found for found in _UNFINISHED.fetch() if found.task in by_task]
    open_rounds = [found.task for found in unfinished if by_task[found.task].due(found, now=now) > 0]
    room = _room() if open_rounds else 0
    for task in open_rounds:
        with transaction.atomic():
            current = _LOCKED.get(task=task)
            room -= _queue(by_task[task], current, at_most=room, now=now)


def for_each(
    task: str,
    tenant_ids: Sequence[int],
    run: Callable[[int], object],
    *,
    give_back: Callable[[], object] = lambda: None,
) -> None:
    """Run a task that clients share, for one after the other.

    After so long that others should have the worker, those who are left get tasks of their own, and so does the client
    for whom it raised. Before that, what this task has claimed for them is given back.
    """
    started_at = time.monotonic()
    for number, tenant_id in enumerate(tenant_ids):
        left = tenant_ids[number + 1 :]
        try:
            run(tenant_id)
        except Exception:
            if len(tenant_ids) == 1:
                raise
            logger.warning("a client's turn is tried again in a task of its own", task=task, exc_info=True)
            left = tenant_ids[number:]
        else:
            if time.monotonic() - started_at <= SLOW_SECONDS:
                continue
        if left:
            give_back()
            _enqueue_each(task, left)
        return


@transaction.atomic
def _enqueue_each(task: str, tenant_ids: Iterable[int]) -> None:
    for tenant_id in tenant_ids:
        enqueue(task, tenant_id)


def _room() -> int:
    waiting = depth("default")
    return max(MOST_WAITING - waiting, 1) if waiting else MOST_ADDED


def _queue(work: PeriodicWork, current: PeriodicRound, *, at_most: int, now: datetime) -> int:
    """Queue the next clients of a round, as many as its pace and `at_most` allow; return how many."""
    count = min(work.due(current, now=now), at_most)
    if count <= 0:
        return 0
    found = _next(work, AT_ONCE if count < AT_ONCE else MOST_ADDED + 1).fetch(last=current.last_client)
    turns = found[:count]
    needed = (tenant.pk for tenant in turns if work.is_needed(tenant, now))
    while sharing := tuple(itertools.islice(needed, work.most_clients)):
        enqueue(work.task, *sharing)
    current.is_over = len(found) <= count
    current.queued += len(turns)
    current.last_client = turns[-1].pk if turns else current.last_client
    save_columns(current, _PROGRESS)
    return len(turns)


_PROGRESS = ("started_at", "clients", "queued", "last_client", "is_over")
_UNFINISHED: CompiledSelect[PeriodicRound] = CompiledSelect(
    lambda _given: PeriodicRound.objects.filter(is_over=False).order_by("started_at")
)
_LOCKED: CompiledSelect[PeriodicRound] = CompiledSelect(
    lambda given: PeriodicRound.objects.select_for_update().filter(task=given.text("task")).order_by()
)


@functools.cache
def _next(work: PeriodicWork, limit: int) -> CompiledSelect[Tenant]:
    """Return what finds the clients after the `last` one, at most so many."""
    columns = ("pk", *NEEDED_COLUMNS)
    return CompiledSelect(
        lambda given: work.clients().filter(pk__gt=given.integer("last")).order_by("pk").only(*columns)[:limit]
    )
