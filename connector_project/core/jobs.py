"""Leased jobs: rows that a worker claims, works on and finishes. Losing a worker or the whole queue loses nothing."""

import functools
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from django.db import InterfaceError, OperationalError, models
from django.utils.translation import gettext_lazy as _

from connector_project.core.compiled_queries import CompiledSelect, CompiledUpdate
from connector_project.core.models import LIVE_FOR, WorkerHeartbeat
from connector_project.core.placeholders import Placeholders
from connector_project.core.task_queue import MAX_SWEPT
from connector_project.core.transactions import is_conflict

LEASE = timedelta(minutes=3)  # longer than a task may run
# After this the sweep queues a task again: its push may have been lost.
QUEUED_FOR = timedelta(minutes=1)
CLOCKS_APART = timedelta(seconds=30)  # how far the clocks of two machines may differ
# After this many leases that ended without a result a job is taken alone: it may be what breaks its worker.
SUSPECT_AFTER_LOST_LEASES = 3
# After this many, of which the last ones were its own, it is given up.
MAX_LOST_LEASES = 5
# Faults of the database itself: no job is to blame, and the task is repeated as a whole.
DATABASE_FAULTS = (OperationalError, InterfaceError)


def lost(leases: int) -> models.Q:
    """Return the condition that so many leases in a row ended without a result, for a job whose lease is over."""
    return models.Q(lost_leases__gte=leases) | models.Q(lost_leases=leases - 1, claim_token__isnull=False)


SUSPECT, BROKEN = lost(SUSPECT_AFTER_LOST_LEASES), lost(MAX_LOST_LEASES)

Job = TypeVar("Job", bound="LeasedJob")


class LeasedQuerySet(models.QuerySet[Job]):
    """Due, claim, requeue. A claim is one conditional UPDATE: of two concurrent workers only one gets the row."""

    def due(self, *, now: datetime) -> Self:
        """Return the jobs to work on now: never claimed, postponed until now, or left by a worker that died."""
        return self.filter(next_attempt_at__lte=now)

    def is_any_due(self, *, now: datetime) -> bool:
        """Return whether a job may be due, of whatever QuerySet: a sweep mostly finds none, and asks for no more."""
        return bool(_any_due(self.model).fetch(now=now))

    def in_turn(self) -> Self:
        """Order jobs as they are to be worked on: oldest first."""
        return self.order_by("next_attempt_at", "pk")

    def set_lease(self, *, lease: timedelta = LEASE, now: datetime, **changes: Any) -> uuid.UUID:
        """Claim these rows: count the attempt, set the lease and `changes`. Return the token the claimed rows have.

        The conditions of the QuerySet are checked again by the UPDATE.
        """
        token = uuid.uuid4()
        self.order_by().update(**lease_fields(token, worker_name(), until=now + lease), **changes)
        return token

    def held(self, *, now: datetime) -> Self:
        """Return the jobs that workers work on: not those of a worker whose heartbeats have stopped.

        These stay claimed until their lease ends all the same: it may only be cut off, and still finish them.
        """
        claimed = self.filter(claim_token__isnull=False, next_attempt_at__gt=now)
        return claimed.exclude(claimed_by__in=stopped_workers(now=now))

    def claim_one(
        self, pk: int, *, only: models.Q | None = None, lease: timedelta = LEASE, now: datetime, **changes: Any
    ) -> Job | None:
        """Claim the job that a task was queued for; None if it is finished, or another worker has it.

        `only` is a further condition, which `changes` may end.
        """
        free = self.filter(may_be_claimed(now), only or models.Q(), pk=pk)
        token = free.set_lease(lease=lease, now=now, **changes)
        return self.filter(pk=pk, claim_token=token).first()

    def still_claimed(self, job: Job) -> Self:
        """Return the job if this claim still holds it: another worker may have it since the lease ended."""
        return self.filter(pk=job.pk, claim_token=job.claim_token) if job.claim_token else self.none()

    def release_claimed(self, job: Job, at: datetime | None, **changes: Any) -> None:
        """Write `changes` and the next attempt, if this claim still holds the job; None: nothing is left to do."""
        if job.claim_token:
            values = released(at) | changes
            statement = _results(self.model, tuple(values))
            statement.run(job=job.pk, held_by=job.claim_token, **values)

    def release_all(self, jobs: Sequence[Job], at: datetime | None, **changes: Any) -> None:
        """Do the same to several jobs, which one claim holds. There must be at least one."""
        values = released(at) | changes
        statement = _results_of_all(self.model, tuple(values))
        statement.run(jobs=[job.pk for job in jobs], held_by=jobs[0].claim_token, **values)

    @contextmanager
    def returned_on_conflict(self, job: Job, *, now: datetime) -> Iterator[None]:
        """Give a claimed job back if the database breaks the body's transaction off.

        The task is run again then, and must get the job again, not wait for the end of its lease.
        """
        try:
            yield
        except OperationalError as exc:
            if is_conflict(exc):
                self.release_claimed(job, now)
            raise

    def requeue(self, *, limit: int = MAX_SWEPT, now: datetime, **changes: Any) -> list[int]:
        """Release due jobs, in their turn, and return their primary keys, for the caller to queue. Needs a transaction.

        They are due again in a minute, so that a long queue does not get the same job with each sweep.
        """
        due = list(self.due(now=now).in_turn().values_list("pk", flat=True)[:limit])
        # Re-check the time in the UPDATE: a worker may have claimed a row just now.
        changed = self.filter(pk__in=due, next_attempt_at__lte=now)
        fields = released(now + QUEUED_FOR) | {"lost_leases": _counted_lost_leases()}
        changed.order_by().update(**fields, **changes)
        return due


class LeasedJob(models.Model):
    """A row with a step to do at `next_attempt_at`; NULL means that nothing is left to do."""

    attempts = models.PositiveIntegerField(_("tries"), default=0)
    next_attempt_at = models.DateTimeField(_("next try"), null=True)
    claim_token = models.UUIDField(null=True, editable=False)
    # The worker's name, as its heartbeat has it.
    claimed_by = models.CharField(max_length=200, blank=True, default="", db_default="", editable=False)
    # Leases in a row that ended without a result: the worker died, or an exception got through.
    lost_leases = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)

    class Meta:
        abstract = True

    def release(self, at: datetime | None) -> None:
        """Set, without saving, that nobody holds this job. It is due at `at`; None: nothing is left to do."""
        for name, value in released(at).items():
            setattr(self, name, value)


def released(at: datetime | None) -> dict[str, Any]:
    """Return the fields of a job that nobody holds and that is due at `at`; None: nothing is left to do."""
    return {"claim_token": None, "claimed_by": "", "lost_leases": 0, "next_attempt_at": at}


@functools.cache
def _results(model: type[LeasedJob], names: tuple[str, ...]) -> CompiledUpdate:
    """Return what writes these fields to a job that a claim still holds."""

    def build(given: Placeholders) -> Any:
        claimed = model._default_manager.filter(pk=given.integer("job"), claim_token=given.uuid("held_by"))
        return claimed, {name: given.value_of(model._meta.get_field(name)) for name in names}

    return CompiledUpdate(build)


@functools.cache
def _results_of_all(model: type[LeasedJob], names: tuple[str, ...]) -> CompiledUpdate:
    """Return what writes these fields to the jobs that one claim still holds."""

    def build(given: Placeholders) -> Any:
        claimed = model._default_manager.filter(pk__in=given.integers("jobs"), claim_token=given.uuid("held_by"))
        return claimed, {name: given.value_of(model._meta.get_field(name)) for name in names}

    return CompiledUpdate(build, lists=["jobs"])


@functools.cache
def _any_due(model: type[LeasedJob]) -> CompiledSelect[tuple[Any]]:
    return CompiledSelect(
        lambda given: (
            model._default_manager.filter(next_attempt_at__lte=given.moment("now")).order_by().values_list("pk")[:1]
        )
    )


def may_be_claimed(now: Any) -> models.Q:
    """Return the condition that a job may be claimed by a task that was queued for it; also for a compiled query."""
    # A queued row is due in a minute, for the sweep; one that is postponed for longer must wait.
    queued = models.Q(claim_token=None, next_attempt_at__lte=now + QUEUED_FOR + CLOCKS_APART)
    return queued | models.Q(next_attempt_at__lte=now)


def lease_fields(token: Any, worker: Any, *, until: Any) -> dict[str, Any]:
    """Return the new values of a job that is claimed; also with placeholders, for a compiled query."""
    return {
        "claim_token": token,
        "claimed_by": worker,
        "attempts": models.F("attempts") + 1,
        "lost_leases": _counted_lost_leases(),
        "next_attempt_at": until,
    }


def stopped_workers(*, now: Any) -> models.QuerySet[Any, str]:
    """Return the names of the workers whose heartbeats have stopped."""
    return WorkerHeartbeat.objects.filter(last_seen_at__lte=now - LIVE_FOR).values_list("name", flat=True)


def worker_name() -> str:
    """Return the name of this worker process, in its claims and its heartbeats.

    A process that gets the host and number of an earlier one, as in a container, has another name.
    """
    return _worker_name(os.getpid())


@functools.cache
def _worker_name(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}-{uuid.uuid4().hex[:6]}"


def _counted_lost_leases() -> models.Case:
    """Count a lease that was not finished: the row still has its token."""
    lost = models.F("lost_leases")
    is_lost = models.When(claim_token__isnull=False, then=lost + 1)
    return models.Case(is_lost, default=lost, output_field=models.PositiveSmallIntegerField())
