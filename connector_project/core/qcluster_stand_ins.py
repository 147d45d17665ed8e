"""What takes the place of parts of django-q2 that cost something and that we do not need."""

import threading
from typing import Any

from django_q.pusher import pusher
from django_q.queues import Queue

from connector_project.core.stop_event import StopEvent


def forget_result(_task: dict[str, Any], _broker: Any) -> None:
    """Take the place of django-q2's `save_task`: our rows have the results, and failures are logged.

    django-q2 would store pickles, which it loads again, and then call the task's hook and queue the rest of its chain.
    """


class Unreported:
    """Takes the place of django-q2's status, which it stores twice a second for `qinfo`; ours is in the heartbeats."""

    def __init__(self, _sentinel: Any) -> None:
        pass

    def save(self) -> None:
        pass


class Reports:
    """The results of a worker: the monitor only gets those that it has to log, or to acknowledge to the broker."""

    def __init__(self, results: Queue) -> None:
        self._results = results

    def put(self, task: dict[str, Any]) -> None:
        if not task["success"] or task["ack_id"]:
            self._results.put(task)


def push_entries(tasks: Any, stop: StopEvent, broker: Any) -> None:
    """Run django-q2's pusher, which waits for the next entry for seconds, and end its wait when it is to stop."""

    def end_wait() -> None:
        stop.wait()
        broker.end_wait()

    threading.Thread(target=end_wait, daemon=True).start()
    pusher(tasks, stop, broker)
