"""Simulated time with the production schedules, workers that may be killed, and both vendors."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from connector_project.core.jobs import LeasedJob
from connector_project.operations import schedules
from crm.models import Popup, UploadVerification
from telephony import task_names
from telephony import tasks as telephony_tasks
from telephony.models import Call
from tenants.models import Tenant
from tests import task_queue
from tests.fakes import retailcrm, uis
from tests.fakes.alert_receiver import Receiver

MINUTE = timedelta(minutes=1)
QUARTER_HOUR, HOURLY = 15, 60
MOST_TASKS = 300  # in a row: more means that a task queues itself for ever
# The schedules that ask a vendor, or work off a queue of their own; the others move no row of a queue on.
ASK = {
    "UIS": {"telephony.tasks.probe_all", "telephony.tasks.reconcile_all", "telephony.tasks.sync_all"},
    "CRM": {"crm.tasks.probe_all", "crm.tasks.verify_uploads_all"},
    "receiver": {"connector_project.operations.tasks.evaluate_alerts"},
}
SWEEPS = {func for func in schedules.SCHEDULES if func.endswith("enqueue_due_work")}
WRITES = ("INSERT", "UPDATE", "DELETE")


class Killed(BaseException):
    """kill -9: the product must not catch it."""


@dataclass
class World:
    """The client, both vendors and the clock."""

    tenant: Tenant
    pbx: uis.Account = field(repr=False)
    crm: retailcrm.Account = field(repr=False)
    uis_world: uis.FakeUis = field(repr=False)
    crm_world: retailcrm.FakeRetailCrm = field(repr=False)
    receiver: Receiver = field(repr=False)
    hook: str = field(repr=False)
    traveller: Any = field(repr=False)  # of time_machine
    monkeypatch: pytest.MonkeyPatch = field(repr=False)
    settings: Any = field(repr=False)
    errors: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=lambda: set(schedules.SCHEDULES) - SWEEPS)
    undo: list[Callable[[], object]] = field(default_factory=list)
    minutes: int = 0
    # A context manager around every task, for instance one that kills it.
    around: Callable[[str], AbstractContextManager[None]] = field(default=lambda _name: contextlib.nullcontext())

    def wait(self, passed: timedelta) -> None:
        """Let time pass while no worker and no schedule runs."""
        self.traveller.shift(passed)

    def work(self) -> None:
        """Run everything that is queued; a task that raises is lost, as with a real worker."""
        for _ in range(MOST_TASKS):
            row = OrmQ.objects.order_by("pk").first()
            if row is None:
                return
            row.delete()
            self._run(*task_queue.load(row))
        raise AssertionError("The queue does not become empty.")

    def work_on(self, *names: str) -> None:
        """Run only these tasks."""
        task_queue.drain(pick=lambda name: name in names)

    def run_minute(self) -> None:
        """Let a minute pass, with the ticker and the schedules at their intervals.

        Sweeps of every minute that would find nothing are left out, to save time.
        """
        self.wait(MINUTE)
        self.minutes += 1
        due = [func for func, interval in schedules.SCHEDULES.items() if self.minutes % interval == 0]
        if _has_due_row() or OrmQ.objects.exists():
            self.run_schedules(due)
        else:
            self.run_schedules([func for func in due if schedules.SCHEDULES[func] > 1])

    def run_schedules(self, due: Sequence[str]) -> None:
        """Run these schedules and what they queue. A vendor without a fault is not asked for more than its step."""
        for func in due:
            if func not in self.left_out:
                self._run(func, import_string(func))
        if Call.objects.filter(state=Call.State.DEBOUNCING).exists():
            telephony_tasks.enqueue_debounced()
        self.work()

    def run_for(self, length: timedelta) -> None:
        """Let a long time pass with the schedules, ever more rarely."""
        until, step = timezone.now() + length, MINUTE
        while timezone.now() < until:
            longest = HOURLY if self.minutes % 2 else QUARTER_HOUR
            self.wait(min(step, max(until - timezone.now(), MINUTE)))
            self.minutes += 1
            self.run_schedules([func for func, interval in schedules.SCHEDULES.items() if interval <= longest])
            step *= 3

    def minutes_until(self, is_final: Callable[[], bool], *, most: int) -> int:
        """Run the schedules until the row is final; return after how many minutes. More than `most`: it is not."""
        self.work()
        for minute in range(most + 1):
            if is_final():
                return minute
            self.run_minute()
        return most + 1

    def _run(self, name: str, run: Callable[[], object]) -> None:
        try:
            with self.around(name):
                run()
        except Killed:
            self.errors.append(f"{name} killed")
        except Exception as exc:  # noqa: BLE001 -- the task is lost, the worker lives on
            self.errors.append(f"{name} {type(exc).__name__}")


def _has_due_row() -> bool:
    """Return whether a row of any queue is due, or its vendor may be asked again."""
    now = timezone.now()
    jobs = [model for model in apps.get_models() if issubclass(model, LeasedJob)]
    is_due = any(model._default_manager.filter(next_attempt_at__lte=now).exists() for model in jobs)
    is_due |= UploadVerification.objects.filter(read_again_at__lte=now).exists()
    # These waits end whatever their vendors do.
    is_due |= Call.objects.missed().filter(state=Call.State.FETCHING_LEGS, failed_at=None).exists()
    return is_due or Popup.objects.filter(Q(state=Popup.State.OPENING) | Q(close_by__isnull=False)).exists()


class KilledAtWrite:
    """Kills the first task with one of these names at its n-th write."""

    def __init__(self, names: Sequence[str], number: int) -> None:
        self.names, self.number, self.is_done = names, number, False

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        if self.is_done or name not in self.names:
            yield
            return
        writes = 0

        def on_statement(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            nonlocal writes
            writes += sql.lstrip().startswith(WRITES)
            if writes >= self.number and not self.is_done:
                self.is_done = True
                raise Killed
            return execute(sql, params, many, context)

        with connection.execute_wrapper(on_statement):
            yield


def begin() -> datetime:
    """Return when each case begins: noon in Moscow, so that no day ends within the first hours."""
    return datetime.fromisoformat("2026-03-10T12:00:00+03:00")


__all__ = ["MINUTE", "Killed", "KilledAtWrite", "World", "begin", "task_names"]
