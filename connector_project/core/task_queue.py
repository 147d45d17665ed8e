"""Enqueues tasks in django-q2 and hides which broker is used.

A task is named by its function and arguments. It is queued only if no entry of this name waits: one that a cluster has
taken does not count, because its task may have read the database before our row was there.
"""

import functools
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Literal

import redis
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_q.brokers import orm
from django_q.models import OrmQ
from django_q.signing import BadSignature

from connector_project.core import logging, queue_entry
from connector_project.core.models import QueuedTask
from connector_project.core.queue_entry import Entry, Refused
from connector_project.core.task_list import TASKS

Queue = Literal["default", "fast"]
QUEUES: tuple[Queue, ...] = ("default", "fast")
# An entry of the live queue that waited longer is dropped: by then its row is due, and the sweep queues it elsewhere.
EXPIRES_AFTER = {"fast": timedelta(seconds=90)}
# More entries than this do not make a queue faster: the sweep leaves the other rows for the next minute.
MAX_SWEPT = 500
# However long a queue is, so many rows have their turn: it may be full of other work, and stay so.
MIN_SWEPT_SHARE = 0.1
# After Redis did not answer, pushes are left to the sweep for so long: each would hold its thread for seconds.
PAUSE_SECONDS = 5.0

# As the model of django-q2 would, at a quarter of the cost.
_ADD = "INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, %s, %s) RETURNING id"

logger = logging.logger(__name__)
_paused_until = 0.0


class UnknownTask(ValueError):
    """A function is not in the list of tasks: a worker would refuse it."""


class NotInTransaction(RuntimeError):
    """A task was queued outside of a transaction."""


def create_broker(list_key: str) -> Any:
    """Return the broker of a queue; django-q2 calls this (`broker_class`)."""
    from connector_project.core.redis_queue import RedisBroker  # noqa: PLC0415 -- it imports this module

    return RedisBroker(list_key) if settings.REDIS_URL else DatabaseBroker(list_key)


# Without an explicit broker, django-q opens a Redis connection for every task.
_broker = functools.cache(create_broker)


def enqueue(task: str, *args: int, queue: Queue = "default") -> None:
    """Queue a task by its dotted name, in the transaction of the row it processes, unless an equal entry waits.

    With the queue in our database the entry commits with the row; with Redis it is pushed on commit, and the sweep
    finds rows whose push was lost. Arguments are ids only. Raises NotInTransaction outside `atomic()`, and UnknownTask
    for a function that is not in the list of tasks.
    """
    if task not in TASKS:
        raise UnknownTask(f"{task} is not in core.task_list.")
    if not transaction.get_connection().in_atomic_block:
        raise NotInTransaction(f"{task} was queued outside of transaction.atomic().")

    def push() -> None:
        _push(task, *args, queue=queue, is_new=False)

    if settings.REDIS_URL:
        # robust: if the push fails, log it; the row is committed, so the caller must not get an error.
        transaction.on_commit(push, robust=True)
    else:
        push()


@contextmanager
def entry_transaction() -> Iterator[None]:
    """Write a row and its first entry in one transaction, if the queue is in our database.

    With Redis there is none: the row's one statement commits by itself, and the entry is pushed after it.
    """
    if settings.REDIS_URL:
        yield
        return
    with transaction.atomic(savepoint=False):
        yield


def enqueue_first(task: str, *args: int, queue: Queue = "default") -> None:
    """Queue the first task of a row, inside the `entry_transaction` that stored it, without looking for an equal one.

    If Redis fails, that is logged: the row is due in a minute, and the sweep finds it.
    """
    try:
        _push(task, *args, queue=queue, is_new=True)
    except redis.RedisError:
        logger.exception("task was not queued", task=task)


def depth(queue: Queue) -> int:
    return int(_broker(queue).queue_size())


def room(queue: Queue) -> int:
    """Return how many rows a sweep may queue now."""
    return max(MAX_SWEPT - depth(queue), int(MAX_SWEPT * MIN_SWEPT_SHARE))


def drop_expired(*, now: datetime) -> None:
    """Remove the entries that no cluster took in time: their rows are due, for the sweep."""
    for queue in QUEUES:
        if queue in EXPIRES_AFTER:
            _broker(queue).drop_expired(now=now)


def _push(task: str, *args: int, queue: Queue, is_new: bool) -> None:
    global _paused_until  # noqa: PLW0603 -- one state for all threads of the process
    if time.monotonic() < _paused_until:
        logger.warning("Redis does not answer: a task is left to the sweep", task=task)
        return
    was_paused, name, broker = bool(_paused_until), task_name(task, args), _broker(queue)
    payload = queue_entry.dump(task, args, name=name, queue=queue, now=timezone.now())
    if was_paused:
        _paused_until = time.monotonic() + PAUSE_SECONDS  # One thread tries; the others do not wait with it.
    try:
        if is_new:
            broker.push(payload)
        else:
            broker.push_once(name, payload)
    except redis.RedisError:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        raise
    if was_paused:
        _paused_until = 0.0


class DatabaseBroker(orm.ORM):  # type: ignore[misc]  # django-q2 has no types
    """Entries are rows; the names of those that are queued once are in rows of our own."""

    @property
    def queue(self) -> str:
        return str(self.list_key)

    def enqueue(self, payload: str) -> Any:
        """Add an entry of django-q2's own scheduler."""
        entry = accepted(payload)
        return entry and self.push_once(task_name(entry.task, entry.args), payload)

    def push(self, payload: str) -> int:
        """Add the entry by one statement, in the caller's transaction."""
        with connection.cursor() as cursor:
            cursor.execute(_ADD, [self.queue, payload, connection.ops.adapt_datetimefield_value(timezone.now())])
            return int(cursor.fetchone()[0])

    def push_once(self, name: str, payload: str) -> Any:
        """Add the entry, in the caller's transaction. Needs a transaction."""
        name = f"{self.queue}:{name}"
        if self._is_waiting(name):
            return None
        pk = self.push(payload)
        QueuedTask.objects.create(entry=pk, name=name)
        return pk

    def _is_waiting(self, name: str) -> bool:
        # Locked, so that no cluster takes the entry before our row is committed.
        lock = "FOR UPDATE OF entry SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
        sql = f"""
            SELECT entry.id FROM core_queuedtask queued JOIN django_q_ormq entry ON entry.id = queued.entry
            WHERE queued.name = %s AND entry.lock <= %s ORDER BY entry.id LIMIT 1 {lock}
        """  # noqa: S608 -- nothing of it is input
        with connection.cursor() as cursor:
            cursor.execute(sql, [name, connection.ops.adapt_datetimefield_value(timezone.now())])
            return cursor.fetchone() is not None

    def dequeue(self) -> Any:
        return runnable(self, super().dequeue())

    def end_wait(self) -> None:
        """Nothing waits: `dequeue` sleeps for a moment."""

    def drop_expired(self, *, now: datetime) -> None:
        """Remove the entries that nobody took in time, and the names of entries that are gone."""
        if limit := EXPIRES_AFTER.get(self.queue):
            OrmQ.objects.filter(key=self.queue, lock__lte=now - limit).delete()
        QueuedTask.objects.exclude(entry__in=OrmQ.objects.values("pk")).delete()


def runnable(broker: Any, taken: Iterable[tuple[Any, Any]] | None) -> list[tuple[Any, Any]] | None:
    """Return the taken entries that a worker may run, and remove the others: refused, or expired.

    If one has expired, what else has is dropped too.
    """
    limit, now = EXPIRES_AFTER.get(broker.queue), timezone.now()
    kept: list[tuple[Any, Any]] = []
    has_expired = False
    for ack_id, payload in taken or ():
        try:
            entry = accepted(payload)
        except BadSignature:
            kept.append((ack_id, payload))  # django-q2 logs and drops it.
            continue
        is_late = entry is not None and limit is not None and now - entry.started > limit
        has_expired = has_expired or is_late
        if entry is None or is_late:
            broker.acknowledge(ack_id)
        else:
            kept.append((ack_id, payload))
    if has_expired:
        broker.drop_expired(now=now)
    return kept or None


def accepted(payload: str | bytes) -> Entry | None:
    """Return what an entry asks for; None if it is refused, which is logged. Raises BadSignature."""
    try:
        return queue_entry.load(payload)
    except Refused as exc:
        refused = exc
    logger.error("an entry of the queue was refused", refused=refused.task, reason=refused.reason)
    return None


def is_expired(queue: str, payload: str | bytes, *, now: datetime) -> bool:
    limit = EXPIRES_AFTER.get(queue)
    try:
        return limit is not None and now - queue_entry.load(payload).started > limit
    except (BadSignature, Refused):
        return False  # Logged and dropped when a cluster takes it.


def task_name(task: str, args: Iterable[object]) -> str:
    return f"{task}({','.join(map(str, args))})"
