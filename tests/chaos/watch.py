"""Looks at the product's rows every few minutes: nothing stalls, no queue grows without a bound."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, Q
from django_q.models import OrmQ

from connector_project.operations import schedules
from connector_project.operations.models import Activation, AlertDelivery
from crm.models import Command
from telephony.models import BulkAction, Call, Notification
from tests.chaos.clock import Clock
from tests.chaos.workers import Workers

INTERVAL = timedelta(minutes=5)
# A due row is taken up within this time, while workers run: its sweep comes every minute.
TAKEN_WITHIN = timedelta(minutes=10)
# Tasks of one client that may wait at the same time: one for each state of its calls and each of its schedules.
TASKS_PER_CLIENT = 16
# The longest stated time to the next attempt.
QUOTA = timedelta(hours=25)  # the points of a day
LONGEST: dict[type[Model], timedelta] = {
    Call: timedelta(hours=3, minutes=5),
    Notification: timedelta(minutes=10),
    Command: timedelta(minutes=35),
    BulkAction: timedelta(minutes=35),
    Activation: timedelta(minutes=10),
    AlertDelivery: timedelta(hours=1, minutes=5),
}
NOT_FINAL: dict[type[Model], Q] = {
    Call: Q(state__in=["DEBOUNCING", "FETCHING_LEGS", "RESOLVING_OWNER", "READY"], failed_at=None),
    Notification: Q(outcome__in=["RECEIVED", "QUEUED"]),
    Command: Q(state__in=["RECEIVED", "RUNNING"]),
    BulkAction: Q(state__in=["PREVIEWING", "RUNNING"], failed_at=None),
    Activation: Q(state="RUNNING"),
    AlertDelivery: Q(state="WAITING"),
}


class Watch:
    """What was seen, and what must not have been."""

    def __init__(self, clock: Clock, workers: Workers, *, tenants: int) -> None:
        self.clock, self.workers, self.tenants = clock, workers, tenants
        self.most: Counter[str] = Counter()
        self.differences: list[str] = []
        self._seen: set[tuple[str, Any]] = set()
        # What was overdue when it was looked at last: a vendor may have allowed it only just now.
        self._overdue_before: dict[type[Model], set[int]] = {}
        self._began_at = clock.now() - TAKEN_WITHIN
        workers.on_new_tasks = self.count_tasks

    def start(self) -> None:
        self._look()

    def count_tasks(self) -> None:
        """Compare the depth of the queue with its bound: tasks of clients and schedules, and one for each open row."""
        depth = OrmQ.objects.count()
        if depth <= self.most["most tasks in the queue"]:
            return
        self.most["most tasks in the queue"] = depth
        if depth > (bound := self.bound()):
            self._add("queue", "depth", f"{depth} tasks are queued, more than {bound}")

    def bound(self) -> int:
        """Return how many tasks may be queued now. A queue that is lost or redelivers has a second one for each row."""
        rows = sum(model._default_manager.filter(NOT_FINAL[model]).count() for model in NOT_FINAL)
        return len(schedules.SCHEDULES) + TASKS_PER_CLIENT * self.tenants + 2 * rows

    def look(self) -> None:
        """Compare all open rows with their stated intervals."""
        now = self.clock.now()
        workers_since = max([self._began_at, *self.workers.dead_until.values()])
        tolerance = TAKEN_WITHIN * self.workers.pace
        for model in NOT_FINAL:
            rows = model._default_manager.filter(NOT_FINAL[model])
            for pk in rows.filter(next_attempt_at=None).values_list("pk", flat=True):
                self._add(model.__name__, pk, "is not final, but has no next attempt")
            for pk, at in self._too_late(model, now):
                self._add(model.__name__, pk, f"has its next attempt only at {at:%d %H:%M}, at {now:%d %H:%M}")
            if now - workers_since > tolerance:
                overdue = set(self._overdue(model, now - tolerance))
                for pk in overdue & self._overdue_before.get(model, set()):
                    self._add(model.__name__, pk, f"was due for {tolerance} and not taken up, at {now:%d %H:%M}")
                self._overdue_before[model] = overdue

    def _look(self) -> None:
        self.look()
        self.clock.at(self.clock.now() + INTERVAL * self.workers.pace, self._look)

    def _too_late(self, model: type[Model], now: datetime) -> Iterator[tuple[int, datetime]]:
        rows = model._default_manager.filter(NOT_FINAL[model], next_attempt_at__gt=now + LONGEST[model])
        if model in {Call, BulkAction}:
            rows = rows.exclude(reason="UIS_QUOTA", next_attempt_at__lte=now + QUOTA)
        yield from rows.values_list("pk", "next_attempt_at")

    def _overdue(self, model: type[Model], since: datetime) -> list[int]:
        rows = model._default_manager.filter(NOT_FINAL[model], next_attempt_at__lte=since)
        if model is Call:  # Those of a vendor that is away are not due.
            rows = rows.filter(pk__in=Call.objects.due(now=since).values("pk"))
        return list(rows.values_list("pk", flat=True))

    def _add(self, name: str, pk: Any, text: str) -> None:
        """Report each row once."""
        if (name, pk) not in self._seen:
            self._seen.add((name, pk))
            self.differences.append(f"{name} {pk} {text}")
