"""How we run django-q2: tasks are run again after a deadlock, and a killed process restarts the whole pool.

django-q2 replaces a dead process but keeps the old queue. A process killed while it waited on that queue still holds
the queue's lock, so the cluster hangs without an error. After a kill the pool therefore restarts with new queues; the
broker or the sweep brings back what was in the old ones.
"""

import ctypes
import functools
import os
import pydoc
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from django_q import cluster
from django_q import worker as worker_module
from django_q.conf import Conf
from django_q.queues import Queue

from connector_project.core import logging
from connector_project.core.transactions import run_again_on_conflict

PR_SET_PDEATHSIG = 1
IDLE = -1

logger = logging.logger(__name__)


def die_with_parent() -> None:
    """Kill processes forked from now on when their parent dies (Linux): orphans would take tasks and lose them."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        os.register_at_fork(after_in_child=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))


class TaskLocator:
    """Takes the place of `pydoc` in django-q2's worker, which finds a task's function by its name."""

    @staticmethod
    def locate(name: str) -> Callable[..., object] | None:
        """Return the function, run again if the database breaks its transaction off; None if there is none.

        That repeats no remote request that must be made once: it is made behind a claim, which is not given twice.
        """
        found = pydoc.locate(name)
        if not callable(found):
            return None
        return functools.update_wrapper(functools.partial(run_again_on_conflict, found), found)


def install() -> None:
    """Make django-q2 use our Sentinel and find tasks by our TaskLocator; workers are forked after this."""
    cluster.Sentinel = Sentinel
    worker_module.pydoc = TaskLocator


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
