"""Enqueues tasks in django-q2 and hides which broker is used."""

import functools
from typing import Literal

from django.conf import settings
from django.db import transaction
from django_q.brokers import Broker, get_broker
from django_q.tasks import async_task

from connector_project.core import logging

Queue = Literal["default", "fast"]

logger = logging.logger(__name__)


class NotInTransaction(RuntimeError):
    """A task was queued outside of a transaction."""


@functools.cache
def _broker(queue: Queue) -> Broker:
    # Without an explicit broker, django-q opens a Redis connection for every task.
    return get_broker(queue)


def enqueue(task: str, *args: int, queue: Queue = "default") -> None:
    """Queue a task by its dotted name, in the transaction of the row it processes.

    With the queue in our database the entry commits with the row; with Redis it is pushed on commit, and the sweep
    finds rows whose push was lost. Arguments are ids only. Raises NotInTransaction outside `atomic()`.
    """
    if not transaction.get_connection().in_atomic_block:
        raise NotInTransaction(f"{task} was queued outside of transaction.atomic().")

    def push() -> None:
        _push(task, *args, queue=queue)

    if settings.REDIS_URL:
        # robust: if Redis is unavailable, log it; the row is committed, so the caller must not get an error.
        transaction.on_commit(push, robust=True)
    else:
        push()


def enqueue_committed(task: str, *args: int, queue: Queue = "default") -> None:
    """Queue a task for a row that one autocommitted statement has just stored.

    If that fails, it is logged: the row is due in a minute, and the sweep finds it.
    """
    try:
        _push(task, *args, queue=queue)
    except Exception:
        logger.exception("task was not queued", task=task)


def _push(task: str, *args: int, queue: Queue) -> None:
    async_task(task, *args, broker=_broker(queue), cluster=queue)


def depth(queue: Queue) -> int:
    return int(_broker(queue).queue_size())
