"""How we run django-q2: known tasks only, run again after a deadlock; a killed process restarts the whole pool.

django-q2 replaces a dead process but keeps the old queue. A process killed while it waited on that queue still holds
the queue's lock, so the cluster hangs without an error. After a kill the pool therefore restarts with new queues; the
broker or the sweep brings back what was in the old ones.
"""

import ctypes
import functools
import gc
import os
import pydoc
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from django.db import DatabaseError, close_old_connections
from django.db.models import F
from django_q import cluster
from django_q import monitor as monitor_module
from django_q import worker as worker_module
from django_q.conf import Conf
from django_q.models import Schedule
from django_q.queues import Queue
from django_q.scheduler import scheduler

from connector_project.core import logging
from connector_project.core.task_list import TASKS
from connector_project.core.transactions import run_again_on_conflict

PR_SET_PDEATHSIG = 1
IDLE = -1
# What nobody waits for gets a tenth of a core that pop-ups, webhooks or the database want as well.
NICENESS = 10
# A schedule of ours has the name of its function, and nothing to call or to pass.
_PLAIN_SCHEDULE = {"name": F("func"), "hook": None, "args": None, "kwargs": None, "intended_date_kwarg": None}

logger = logging.logger(__name__)


def die_with_parent() -> None:
    """Kill processes forked from now on when their parent dies (Linux): orphans would take tasks and lose them."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        os.register_at_fork(after_in_child=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))


def give_way() -> None:
    """Let this process, and those it starts, give way to the others when the cores are short."""
    os.nice(NICENESS)


def load_tasks() -> None:
    """Load what the workers run before they are forked, and leave it out of garbage collection.

    A new worker then begins with all modules, and does not go through them for a tenth of a second in the middle of its
    first pop-ups, copying each page that it shares with its parent.
    """
    for name in TASKS:
        pydoc.locate(name)
    gc.collect()
    gc.freeze()


class TaskLocator:
    """Takes the place of `pydoc` in django-q2's worker, which finds a task's function by its name."""

    @staticmethod
    def locate(name: str) -> Callable[..., object] | None:
        """Return the function, run again if the database breaks its transaction off; None if there is none.

        Nothing is imported for a name that is not in the list of tasks. Running a task again repeats no remote request
        that must be made once: it is made behind a claim, which is not given twice.
        """
        if name not in TASKS:
            logger.error("a task was refused", refused=repr(name), reason="not in the list of tasks")
            return None
        found = pydoc.locate(name)
        if not callable(found):
            return None
        return functools.update_wrapper(functools.partial(run_again_on_conflict, found), found)


def run_schedules(broker: Any = None) -> None:
    """Take the place of django-q2's scheduler: remove the schedules that are none of ours, then run the others."""
    try:
        close_old_connections()
        for schedule in Schedule.objects.exclude(func__in=TASKS, **_PLAIN_SCHEDULE):
            logger.error("a schedule was refused", refused=repr(schedule.func), hook=repr(schedule.hook))
            schedule.delete()
    except DatabaseError:
        logger.exception("the schedules were not read")
    else:
        scheduler(broker)


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


def install() -> None:
    """Put our parts in the place of django-q2's; its processes are forked after this."""
    cluster.Sentinel = Sentinel
    cluster.Stat = Unreported
    cluster.scheduler = run_schedules
    worker_module.pydoc = TaskLocator
    monitor_module.save_task = forget_result


class Sentinel(cluster.Sentinel):  # type: ignore[misc]  # django-q2 has no types
    """Restarts the whole pool if a killed process may have left its queues locked."""

    def reincarnate(self, process: BaseProcess) -> None:
        """Replace a process that exited; if it was killed, restart the whole pool."""
        if process not in (*self.pool, self.monitor, self.pusher):
            return  # Already replaced: the caller still iterates over the old pool.
        if process.exitcode is not None and process.exitcode < 0:
            logger.error("a process of the cluster was killed; restarting the pool", signal=-process.exitcode)
            self._restart_pool()
        else:
            super().reincarnate(process)

    def _restart_pool(self) -> None:
        for helper in (self.pusher, self.monitor):
            helper.kill()
        threading.Thread(target=_drain_and_kill, args=(list(self.pool),), daemon=True).start()
        self.task_queue = Queue(maxsize=Conf.QUEUE_LIMIT) if Conf.QUEUE_LIMIT else Queue()
        self.result_queue = Queue()
        self.spawn_cluster()
        self.reincarnations += 1


def _drain_and_kill(workers: list[BaseProcess], *, poll_seconds: float = 0.2) -> None:
    """Let workers finish their current task, then kill them: their queue is gone.

    Each has the rest of its own task's time, as its timer had it: nobody counts the timers of a retired pool down, and
    a task must not outlive the lease of its rows.
    """
    started = time.monotonic()
    left = {worker: worker.timer.value for worker in workers}  # type: ignore[attr-defined]
    while left:
        for worker, seconds in list(left.items()):
            is_busy = worker.is_alive() and worker.timer.value != IDLE  # type: ignore[attr-defined]
            if not is_busy or (Conf.TIMEOUT and time.monotonic() - started >= seconds):
                worker.kill()
                del left[worker]
        time.sleep(poll_seconds)
