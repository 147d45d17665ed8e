"""The workers: they run the tasks of the real queue after a short delay, and may be killed or run a task twice."""

import functools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from connector_project.core.models import WorkerHeartbeat
from connector_project.core.qcluster_supervisor import TaskLocator
from connector_project.core.task_queue import EXPIRES_AFTER, Queue, enqueue
from connector_project.operations import schedules, ticker
from telephony.models import Call
from tests.chaos.clock import Clock
from tests.chaos.processes import Processes

# The time after which the database broker redelivers an unacknowledged task.
RETRY_SECONDS = {"default": 180, "fast": 60}
LAG_SECONDS = {"default": 0.3, "fast": 0.08}
REPEAT_PROBABILITY = 0.02
# Evaluated more rarely than in production, to save time.
MINUTES = schedules.SCHEDULES | {
    "connector_project.operations.tasks.evaluate_alerts": 4,
    "connector_project.operations.tasks.evaluate_alerts_fallback": 4,
}


class Workers:
    """Both clusters, and the scheduler."""

    def __init__(self, clock: Clock, processes: Processes, rng: random.Random, *, redelivers: bool) -> None:
        self.clock, self.processes, self.rng = clock, processes, rng
        self.redelivers = redelivers  # as the database broker does; Redis does not redeliver
        self.last_pk = 0
        self.has_new_tasks = False
        self.has_debouncing_calls = True
        self.pace = 1  # factor for the intervals of the schedules: higher in long waits, to save time
        self.dead_until: dict[str, datetime] = {}  # clusters that are dead, and all of them in an outage
        self.on_new_tasks: Callable[[], None] = lambda: None
        self.met: Counter[str] = Counter()

    @contextmanager
    def intercept_queue(self) -> Iterator[None]:
        """Notice new tasks in the queue."""
        with connection.execute_wrapper(self._on_statement):
            yield

    def take_new_tasks(self) -> None:
        """Schedule the tasks queued since the last call."""
        if not self.has_new_tasks:
            return
        self.has_new_tasks = False
        for pk, cluster in OrmQ.objects.filter(pk__gt=self.last_pk).order_by("pk").values_list("pk", "key"):
            self.last_pk = pk
            lag = self.rng.uniform(0.005, LAG_SECONDS[cluster])
            self.clock.after(lag, self._runner(pk, cluster))
        self.on_new_tasks()

    def schedule(self, begin: timedelta) -> None:
        """Run every scheduled task at its interval, each with its own offset."""
        for func, minutes in MINUTES.items():
            first = self.clock.now() + begin + timedelta(minutes=minutes) * self.rng.random()
            self.clock.at(first, self._scheduled(func, timedelta(minutes=minutes)))

    def start_ticker(self) -> None:
        """Evaluate debounced calls every two seconds, as one thread per worker does."""
        self._tick()

    def _tick(self) -> None:
        # Skip evaluations that would find nothing: there are thousands of them.
        if self.has_debouncing_calls and not self._is_dead("default"):
            self.processes.run("ticker", ticker.tick)
            self.has_debouncing_calls = Call.objects.filter(state=Call.State.DEBOUNCING).exists()
        self.clock.after(ticker.EVERY_SECONDS, self._tick)

    def _scheduled(self, func: str, every: timedelta) -> Callable[[], None]:
        def run_task() -> None:
            if not self._is_dead("default"):
                self.enqueue(func)
            self.clock.at(self.clock.now() + every * self.pace, run_task)

        return run_task

    def enqueue(self, func: str, *args: int) -> None:
        """Queue a task, as a person or a schedule does."""
        queue: Queue = "fast" if func in schedules.FAST_QUEUE_TASKS else "default"
        with transaction.atomic():
            enqueue(func, *args, queue=queue)

    def _record_heartbeats(self) -> None:
        """Record the heartbeats that the processes of the living clusters send: only the alerts read them."""
        for queue in RETRY_SECONDS:
            if not self._is_dead(queue):
                WorkerHeartbeat.objects.update_or_create(
                    name=queue, defaults={"queue": queue, "last_seen_at": self.clock.now()}
                )

    def _take(self, row: OrmQ) -> bool:
        """Take an entry as the broker does: it no longer waits; return False for one that waited too long."""
        limit = EXPIRES_AFTER.get(row.key)
        if limit is not None and self.clock.now() - SignedPackage.loads(row.payload)["started"] > limit:
            self.met["tasks expired"] += 1
            row.delete()
            return False
        if self.redelivers:  # An equal task that is queued now must run.
            OrmQ.objects.filter(pk=row.pk).update(lock=self.clock.now() + timedelta(seconds=RETRY_SECONDS[row.key]))
        else:
            OrmQ.objects.filter(pk=row.pk).delete()
        return True

    def _is_dead(self, cluster: str) -> bool:
        return cluster in self.dead_until and self.clock.now() < self.dead_until[cluster]

    def _runner(self, pk: int, cluster: str) -> Callable[[], None]:
        return lambda: self._run_task(pk, cluster)

    def _run_task(self, pk: int, cluster: str) -> None:
        row = OrmQ.objects.filter(pk=pk).first()
        if row is None:
            return  # The queue was lost.
        if self._is_dead(cluster):
            self.clock.at(self.dead_until[cluster] + timedelta(seconds=self.rng.random()), self._runner(pk, cluster))
            return
        if not self._take(row):
            return
        name, run = _load(row)
        if "alerts" in name:
            self._record_heartbeats()
        self.met["tasks"] += 1
        is_finished = self.processes.run(name, run)
        if is_finished and self.redelivers:
            row.delete()
        elif self.redelivers:
            self.clock.after(RETRY_SECONDS[cluster], self._runner(pk, cluster))
        if self.rng.random() < REPEAT_PROBABILITY:
            self.met["tasks run twice"] += 1
            self.clock.after(self.rng.uniform(0, 2), lambda: self._run_again(name, run))

    def _run_again(self, name: str, run: Callable[[], object]) -> None:
        self.processes.run(name, run)

    def _on_statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.has_new_tasks = self.has_new_tasks or sql.replace('"', "").startswith("INSERT INTO django_q_ormq")
        self.has_debouncing_calls = self.has_debouncing_calls or sql.startswith('INSERT INTO "telephony_call"')
        return execute(sql, params, many, context)


def _load(row: OrmQ) -> tuple[str, Callable[[], object]]:
    """Return the name of a queued task, and a function that runs it as a worker of a cluster does."""
    task = SignedPackage.loads(row.payload)
    func = TaskLocator.locate(task["func"])
    assert func is not None, task["func"]
    return task["func"], functools.partial(func, *task["args"], **task["kwargs"])
