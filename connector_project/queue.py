"""The one door to django-q2: the only file that knows which broker the queue uses."""

import functools
from typing import Literal

from django.conf import settings
from django.db import transaction
from django_q.brokers import Broker, get_broker
from django_q.tasks import async_task

Queue = Literal["default", "fast"]


class NotInTransaction(RuntimeError):
    """A task was queued outside the transaction of the row it is about."""


@functools.cache
def _broker(queue: Queue) -> Broker:
    # Without a broker of its own, django-q opens a connection to Redis for every task.
    return get_broker(queue)


def enqueue(task: str, *args: int, queue: Queue = "default") -> None:
    """Queue a task by its dotted name, together with the row it is about.

    With the queue in our database the entry commits with the row; with Redis it is pushed on commit, and the sweep
    finds the row whose push was lost. Arguments are ids only. Raises NotInTransaction outside `atomic()`.
    """
    if not transaction.get_connection().in_atomic_block:
        raise NotInTransaction(f"{task} was queued outside of transaction.atomic().")

    def push() -> None:
        async_task(task, *args, broker=_broker(queue), cluster=queue)

    if settings.REDIS_URL:
        # robust: a Redis that is away is logged, and must not turn a committed row into an error.
        transaction.on_commit(push, robust=True)
    else:
        push()


def depth(queue: Queue) -> int:
    """Return how many tasks wait in a queue."""
    return int(_broker(queue).queue_size())
