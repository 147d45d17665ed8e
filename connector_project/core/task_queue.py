"""Enqueues tasks in django-q2 and hides which broker is used."""

import functools
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import redis
from django.conf import settings
from django.db import transaction
from django_q.tasks import async_task

from connector_project.core import brokers, logging

Queue = Literal["default", "fast"]
QUEUES: tuple[Queue, ...] = ("default", "fast")
# More entries than this do not make a queue faster: the sweep leaves the other rows for the next minute.
MAX_SWEPT = 500
# After Redis did not answer, pushes are left to the sweep for so long: each would hold its thread for seconds.
PAUSE_SECONDS = 5.0

logger = logging.logger(__name__)
_paused_until = 0.0


class NotInTransaction(RuntimeError):
    """A task was queued outside of a transaction."""


@functools.cache
def _broker(queue: Queue) -> brokers.Broker:
    # Without an explicit broker, django-q opens a Redis connection for every task.
    return brokers.create(queue)


def enqueue(task: str, *args: int, queue: Queue = "default") -> None:
    """Queue a task by its dotted name, in the transaction of the row it processes, unless an equal entry waits.

    With the queue in our database the entry commits with the row; with Redis it is pushed on commit, and the sweep
    finds rows whose push was lost. Arguments are ids only. Raises NotInTransaction outside `atomic()`.
    """
    if not transaction.get_connection().in_atomic_block:
        raise NotInTransaction(f"{task} was queued outside of transaction.atomic().")

    def push() -> None:
        _push(task, *args, queue=queue, is_new=False)

    if settings.REDIS_URL:
        # robust: if the push fails, log it; the row is committed, so the caller must not get an error.
        transaction.on_commit(push, robust=True)
    else:
        push()


def enqueue_committed(task: str, *args: int, queue: Queue = "default") -> None:
    """Queue the first task of a row that one autocommitted statement has just stored.

    If that fails, it is logged: the row is due in a minute, and the sweep finds it.
    """
    try:
        _push(task, *args, queue=queue, is_new=True)
    except Exception:
        logger.exception("task was not queued", task=task)


def depth(queue: Queue) -> int:
    return int(_broker(queue).queue_size())


def room(queue: Queue) -> int:
    """Return how many rows a sweep may queue now."""
    return max(MAX_SWEPT - depth(queue), 0)


def drop_expired(*, now: datetime) -> None:
    """Remove the entries that no cluster took in time: their rows are due, for the sweep."""
    for queue in QUEUES:
        if queue in brokers.EXPIRES_AFTER:
            _broker(queue).drop_expired(now=now)


@dataclass(frozen=True)
class _Entry:
    """What `async_task` takes for a broker: adds the entry once, or without looking for an equal one."""

    broker: brokers.Broker
    name: str

    @property
    def list_key(self) -> str:
        return str(self.broker.list_key)

    def enqueue(self, payload: str) -> Any:
        return self.broker.push_once(self.name, payload) if self.name else self.broker.push(payload)


def _push(task: str, *args: int, queue: Queue, is_new: bool) -> None:
    global _paused_until  # noqa: PLW0603 -- one state for all threads of the process
    if time.monotonic() < _paused_until:
        logger.warning("Redis does not answer: a task is left to the sweep", task=task)
        return
    was_paused, name = bool(_paused_until), "" if is_new else brokers.task_name(task, args)
    if was_paused:
        _paused_until = time.monotonic() + PAUSE_SECONDS  # One thread tries; the others do not wait with it.
    try:
        async_task(task, *args, broker=_Entry(_broker(queue), name), cluster=queue)
    except redis.RedisError:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        raise
    if was_paused:
        _paused_until = 0.0
