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
from multiprocessing import Value, connection
from multiprocessing.process import BaseProcess
from typing import Any

from django.db import DatabaseError, close_old_connections
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django_q import cluster
from django_q import monitor as monitor_module
from django_q import worker as worker_module
from django_q.conf import Conf
from django_q.models import Schedule
from django_q.queues import Queue
from django_q.scheduler import scheduler

from connector_project.core import logging
from connector_project.core.compiled_queries import CompiledExists
from connector_project.core.placeholders import Placeholders
from connector_project.core.qcluster_stand_ins import Reports, Unreported, forget_result, push_entries
from connector_project.core.stop_event import StopEvent
from connector_project.core.task_connection import run_task
from connector_project.core.task_list import TASKS

PR_SET_PDEATHSIG = 1
IDLE = -1
# What nobody waits for gets a tenth of a core that pop-ups, webhooks or the database want as well.
NICENESS = 10
# How often the guard looks at its workers while all of them are idle; it wakes up when one ends.
IDLE_SECONDS = 10.0
SCHEDULES_SECONDS = 30.0
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
        """Return the function, run by `run_task`; None if there is none.

        Nothing is imported for a name that is not in the list of tasks.
        """
        if name not in TASKS:
            logger.error("a task was refused", refused=repr(name), reason="not in the list of tasks")
            return None
        found = pydoc.locate(name)
        if not callable(found):
            return None
        return functools.update_wrapper(functools.partial(run_task, found), found)


def run_schedules(broker: Any = None) -> None:
    """Run django-q2's scheduler: first remove the schedules that are none of ours."""
    try:
        close_old_connections()
        is_foreign, is_due = _SIGNS.fetch(now=timezone.now())
        for schedule in _foreign_schedules() if is_foreign else ():
            logger.error("a schedule was refused", refused=repr(schedule.func), hook=repr(schedule.hook))
            schedule.delete()
    except DatabaseError:
        logger.exception("the schedules were not read")
    else:
        if is_due:
            scheduler(broker)


def _foreign_schedules() -> QuerySet[Schedule]:
    found: QuerySet[Schedule] = Schedule.objects.exclude(func__in=TASKS, **_PLAIN_SCHEDULE)
    return found


def _signs(given: Placeholders) -> tuple[QuerySet[Schedule], ...]:
    """Return what finds schedules to remove, and those that this cluster is to run: mostly there are none."""
    mine = Q(cluster=Conf.CLUSTER_NAME) | (Q(cluster=None) if Conf.CLUSTER_NAME == Conf.PREFIX else Q())
    return _foreign_schedules(), Schedule.objects.filter(mine, next_run__lt=given.moment("now"))


_SIGNS = CompiledExists(_signs)


def install() -> None:
    """Put our parts in the place of django-q2's; its processes are forked after this."""
    cluster.Sentinel = Sentinel
    cluster.Event = StopEvent
    cluster.pusher = push_entries
    cluster.Stat = Unreported
    worker_module.pydoc = TaskLocator
    monitor_module.save_task = forget_result


class Sentinel(cluster.Sentinel):  # type: ignore[misc]  # django-q2 has no types
    """Restarts the whole pool if a killed process may have left its queues locked."""

    def spawn_worker(self) -> None:
        """Start a worker process."""
        self.spawn_process(
            worker_module.worker, self.task_queue, Reports(self.result_queue), Value("f", -1), self.timeout
        )

    def guard(self) -> None:
        """Replace processes that end, count the time of tasks down, and run the schedules, until told to stop.

        While all workers are idle it only waits: waking up twice a second, as django-q2 does, costs more than it seems.
        """
        self.start_event.set()
        schedules_at = time.monotonic() + SCHEDULES_SECONDS
        while not self.stop_event.is_set():
            is_soon = self._look_at_processes()
            if Conf.SCHEDULER and time.monotonic() >= schedules_at:
                schedules_at = time.monotonic() + SCHEDULES_SECONDS
                run_schedules(self.broker)
            if is_soon:
                self.stop_event.wait(Conf.GUARD_CYCLE)
            else:
                processes = (*self.pool, self.monitor, self.pusher)
                seconds = min(IDLE_SECONDS, max(schedules_at - time.monotonic(), 0.0))
                connection.wait([self.stop_event, *(process.sentinel for process in processes)], seconds)
        self.stop()

    def _look_at_processes(self) -> bool:
        """Replace those that ended, or whose task took too long; return whether to look again in a moment."""
        is_soon = False
        for process in tuple(self.pool):
            with process.timer.get_lock():
                if not process.is_alive() or process.timer.value == 0:
                    self.reincarnate(process)
                elif process.timer.value > 0:
                    process.timer.value = max(process.timer.value - Conf.GUARD_CYCLE, 0)
                else:
                    continue
            is_soon = True
        for process in (self.monitor, self.pusher):
            if not process.is_alive():
                self.reincarnate(process)
                is_soon = True
        return is_soon

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
