"""Keeps a cluster of workers working when one of its processes is killed.

django-q2 puts a new process in the place of a dead one, but lets it wait on the old queue. A process that was killed
while it waited there took the queue's lock along, and the whole cluster stands still without a word. So after a kill
everything begins anew with fresh queues; what was in the old ones comes back by the broker or by the sweep.
"""

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from multiprocessing.process import BaseProcess

from django_q import cluster
from django_q.conf import Conf
from django_q.queues import Queue

PR_SET_PDEATHSIG = 1
IDLE = -1

logger = logging.getLogger(__name__)


def die_with_parent() -> None:
    """Have every process forked from here on killed with the one that forked it (Linux): orphans would eat tasks."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        os.register_at_fork(after_in_child=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))


class Sentinel(cluster.Sentinel):  # type: ignore[misc]  # django-q2 has no types
    """Guards the pool, and replaces all of it where a kill may have locked its queues."""

    def reincarnate(self, process: BaseProcess) -> None:
        """Replace a process that ended: alone if it ended by itself, with all the others if it was killed."""
        if process not in (*self.pool, self.monitor, self.pusher):
            return  # Replaced already: the guard still walks over the pool as it was.
        if process.exitcode is not None and process.exitcode < 0:
            logger.error("A process of the cluster was killed (%s); the pool begins anew.", -process.exitcode)
            self._begin_anew()
        else:
            super().reincarnate(process)

    def _begin_anew(self) -> None:
        for helper in (self.pusher, self.monitor):
            helper.kill()
        threading.Thread(target=_retire, args=(list(self.pool),), daemon=True).start()
        self.task_queue = Queue(maxsize=Conf.QUEUE_LIMIT) if Conf.QUEUE_LIMIT else Queue()
        self.result_queue = Queue()
        self.spawn_cluster()
        self.reincarnations += 1


def _retire(workers: list[BaseProcess]) -> None:
    """Let workers finish what they are at, then end them: their queue is gone."""
    ends_at = time.monotonic() + (Conf.TIMEOUT or 60)
    for worker in workers:
        while worker.is_alive() and worker.timer.value != IDLE and time.monotonic() < ends_at:  # type: ignore[attr-defined]
            time.sleep(0.2)
        worker.kill()
