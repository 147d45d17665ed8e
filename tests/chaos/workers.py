"""The workers: they take the real queue's rows, a moment after each came, and may die or run one twice."""

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

# After so long the broker in our database gives a task out anew, whose worker did not say that it was done.
RETRY_SECONDS = {"default": 180, "fast": 60}
LAG_SECONDS = {"default": 0.3, "fast": 0.08}
TWICE = 0.02


class Workers:
    """Both clusters, and the scheduler."""

    def __init__(self, clock: Clock, processes: Processes, rng: random.Random, *, brings_back: bool) -> None:
        self.clock, self.processes, self.rng = clock, processes, rng
        self.brings_back = brings_back  # as the broker in our database does; Redis forgets what a worker has taken
        self.seen = 0
        self.is_news = False
        self.may_settle = True
        self.pace = 1  # how many times more seldom schedules run: in long waits, most of what they do is the same
        self.met: Counter[str] = Counter()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Notice whatever is queued."""
        with connection.execute_wrapper(self._on_statement):
            yield

    def look(self) -> None:
        """Take up what came into the queue since the last look."""
        if not self.is_news:
            return
        self.is_news = False
        for pk, cluster in OrmQ.objects.filter(pk__gt=self.seen).order_by("pk").values_list("pk", "key"):
            self.seen = pk
            lag = self.rng.uniform(0.005, LAG_SECONDS[cluster])
            self.clock.after(lag, self._taking(pk, cluster))

    def schedule(self, begin: timedelta) -> None:
        """Run every scheduled task at its interval from then on, each at its own second."""
        for func, minutes in schedules.SCHEDULES.items():
            first = self.clock.now() + begin + timedelta(minutes=minutes) * self.rng.random()
            self.clock.at(first, self._scheduled(func, timedelta(minutes=minutes)))

    def beat(self) -> None:
        """Look for settled calls every two seconds, as one thread of all workers does."""
        self._look_for_settled()

    def _look_for_settled(self) -> None:
        # Looks that can find nothing are left out, for there are thousands of them.
        if self.may_settle:
            self.processes.run("pulse", ticker.tick)
            self.may_settle = Call.objects.filter(state=Call.State.DEBOUNCING).exists()
        self.clock.after(ticker.EVERY_SECONDS, self._look_for_settled)

    def _scheduled(self, func: str, every: timedelta) -> Callable[[], None]:
        def give_out() -> None:
            with transaction.atomic():
                enqueue(func)
            self.clock.at(self.clock.now() + every * self.pace, give_out)

        return give_out

    def _taking(self, pk: int, cluster: str) -> Callable[[], None]:
        return lambda: self._take(pk, cluster)

    def _take(self, pk: int, cluster: str) -> None:
        row = OrmQ.objects.filter(pk=pk).first()
        if row is None:
            return  # Lost with the whole queue.
        if not self.brings_back:
            row.delete()
        name, run = task_queue.load(row)
        self.met["tasks"] += 1
        is_done = self.processes.run(name, run)
        if is_done and self.brings_back:
            row.delete()
        elif self.brings_back:
            self.clock.after(RETRY_SECONDS[cluster], self._taking(pk, cluster))
        if self.rng.random() < TWICE:
            self.met["tasks run twice"] += 1
            self.clock.after(self.rng.uniform(0, 2), lambda: self._run_again(name, run))

    def _run_again(self, name: str, run: Callable[[], object]) -> None:
        self.processes.run(name, run)

    def _on_statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.is_news = self.is_news or sql.startswith('INSERT INTO "django_q_ormq"')
        self.may_settle = self.may_settle or sql.startswith('INSERT INTO "telephony_call"')
        return execute(sql, params, many, context)
