"""The workers: they run the tasks of the real queue after a short delay, and may be killed or run a task twice."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django_q.models import OrmQ

from connector_project.core.task_queue import enqueue
from connector_project.operations import schedules, ticker
from telephony.models import Call
from tests import task_queue
from tests.chaos.clock import Clock
from tests.chaos.processes import Processes

# The time after which the database broker redelivers an unacknowledged task.
RETRY_SECONDS = {"default": 180, "fast": 60}
LAG_SECONDS = {"default": 0.3, "fast": 0.08}
REPEAT_PROBABILITY = 0.02


class Workers:
    """Both clusters, and the scheduler."""

    def __init__(self, clock: Clock, processes: Processes, rng: random.Random, *, redelivers: bool) -> None:
        self.clock, self.processes, self.rng = clock, processes, rng
        self.redelivers = redelivers  # as the database broker does; Redis does not redeliver
        self.last_pk = 0
        self.has_new_tasks = False
        self.has_debouncing_calls = True
        self.pace = 1  # factor for the intervals of the schedules: higher in long waits, to save time
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

    def schedule(self, begin: timedelta) -> None:
        """Run every scheduled task at its interval, each with its own offset."""
        for func, minutes in schedules.SCHEDULES.items():
            first = self.clock.now() + begin + timedelta(minutes=minutes) * self.rng.random()
            self.clock.at(first, self._scheduled(func, timedelta(minutes=minutes)))

    def start_ticker(self) -> None:
        """Evaluate debounced calls every two seconds, as one thread per worker does."""
        self._tick()

    def _tick(self) -> None:
        # Skip evaluations that would find nothing: there are thousands of them.
        if self.has_debouncing_calls:
            self.processes.run("ticker", ticker.tick)
            self.has_debouncing_calls = Call.objects.filter(state=Call.State.DEBOUNCING).exists()
        self.clock.after(ticker.EVERY_SECONDS, self._tick)

    def _scheduled(self, func: str, every: timedelta) -> Callable[[], None]:
        def run_task() -> None:
            with transaction.atomic():
                enqueue(func)
            self.clock.at(self.clock.now() + every * self.pace, run_task)

        return run_task

    def _runner(self, pk: int, cluster: str) -> Callable[[], None]:
        return lambda: self._run_task(pk, cluster)

    def _run_task(self, pk: int, cluster: str) -> None:
        row = OrmQ.objects.filter(pk=pk).first()
        if row is None:
            return  # The queue was lost.
        if self.redelivers:  # Taken, and no longer waiting: an equal task that is queued now must run.
            OrmQ.objects.filter(pk=pk).update(lock=self.clock.now() + timedelta(seconds=RETRY_SECONDS[cluster]))
        else:
            row.delete()
        name, run = task_queue.load(row)
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
        self.has_new_tasks = self.has_new_tasks or sql.startswith('INSERT INTO "django_q_ormq"')
        self.has_debouncing_calls = self.has_debouncing_calls or sql.startswith('INSERT INTO "telephony_call"')
        return execute(sql, params, many, context)
