"""Runs the tasks of the real queue table in the test's process, as a worker does."""

import functools
import pydoc
from collections.abc import Callable

from django_q.models import OrmQ
from django_q.signing import SignedPackage

from connector_project.core import task_queue
from connector_project.core.task_queue import Queue
from connector_project.operations import tasks as operations_tasks
from crm import tasks as crm_tasks
from telephony import task_names
from telephony import tasks as telephony_tasks

LONGEST = 1000
NOTIFICATION_TASKS = {task_names.PROCESS_NOTIFICATION, task_names.PROCESS_LATE_NOTIFICATION}


def drain(*, pick: Callable[[str], bool] = lambda _task: True) -> int:
    """Run every queued task that is picked, in order, until none is left; return how many ran."""
    for count in range(LONGEST):
        waiting = (row for row in OrmQ.objects.order_by("pk") if pick(SignedPackage.loads(row.payload)["func"]))
        row = next(waiting, None)
        if row is None:
            return count
        row.delete()
        _name, run = load(row)
        run()
    raise AssertionError("The queue does not become empty.")


def process_notifications() -> int:
    """Run the tasks of stored webhooks alone, and nothing of what they queue."""
    return drain(pick=lambda task: task in NOTIFICATION_TASKS)


def load(row: OrmQ) -> tuple[str, Callable[[], object]]:
    """Return the name of a queued task, and a function that runs it."""
    return _load(row.payload)


def _load(payload: str | bytes) -> tuple[str, Callable[[], object]]:
    task = SignedPackage.loads(payload)
    func = pydoc.locate(task["func"])
    assert callable(func), task["func"]
    return task["func"], functools.partial(func, *task["args"], **task["kwargs"])


def sweep() -> None:
    """Run what the schedules run every minute, and the tasks that it queues."""
    telephony_tasks.enqueue_due_work()
    crm_tasks.enqueue_due_work()
    operations_tasks.enqueue_due_work()
    drain()


def lose() -> int:
    """Delete all queued tasks, as flushing Redis would; return how many."""
    return int(OrmQ.objects.all().delete()[0])


def take(queue: Queue) -> tuple[str, Callable[[], object]] | None:
    """Take the first entry from the broker, as a cluster does; None if nothing waits that is worth running."""
    broker = task_queue._broker(queue)
    while broker.queue_size():
        for ack_id, payload in broker.dequeue() or []:
            broker.acknowledge(ack_id)
            return _load(payload)
    return None


def work(queue: Queue) -> int:
    """Run all tasks of one queue of the broker, as its cluster does; return how many ran."""
    for count in range(LONGEST):
        taken = take(queue)
        if taken is None:
            return count
        taken[1]()
    raise AssertionError("The queue does not become empty.")
