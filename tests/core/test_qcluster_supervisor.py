"""How a cluster starts; a retired pool finishes its tasks, but none of them outlives its time."""

import gc
import multiprocessing
import os
import queue
import threading
import time
from types import SimpleNamespace

import pytest
from django_q.conf import Conf
from django_q.management.commands.qcluster import Command as QCluster

from connector_project.core import qcluster_supervisor
from connector_project.core.jobs import LEASE
from connector_project.core.qcluster_stand_ins import Reports
from connector_project.core.qcluster_supervisor import IDLE, NICENESS, Sentinel, _drain_and_kill
from connector_project.core.stop_event import StopEvent
from connector_project.operations.management.commands.qcluster import Command

BUFFER_SECONDS = 3  # that django-q2 adds to the time of a task


class Worker:
    """A worker process with a task that takes some time; its timer is not counted down."""

    def __init__(self, *, left, works):
        self.timer, self.killed_at, self.started = SimpleNamespace(value=left), None, time.monotonic()
        if works is not None:
            threading.Timer(works, lambda: setattr(self.timer, "value", IDLE)).start()

    def is_alive(self):
        return self.killed_at is None

    def kill(self):
        self.killed_at = time.monotonic() - self.started


def drained(*workers):
    _drain_and_kill(list(workers), poll_seconds=0.005)
    return [worker.killed_at for worker in workers]


def test_task_has_the_rest_of_its_time():
    """Whatever the others still have: one that hangs must not hold them up, nor get more time by them."""
    long, hanging, idle = Worker(left=100, works=0.15), Worker(left=0.05, works=None), Worker(left=IDLE, works=None)
    finished, stopped, at_once = drained(long, hanging, idle)
    assert 0.14 < finished < 0.5
    assert 0.04 < stopped < 0.14
    assert at_once < 0.04


def test_retired_task_ends_before_the_lease_of_its_rows():
    assert LEASE.total_seconds() > Conf.TIMEOUT + BUFFER_SECONDS


@pytest.fixture
def started(monkeypatch):
    """Run the command without its cluster; return what it does to this process."""
    done = []
    monkeypatch.setattr(os, "nice", lambda niceness: done.append(niceness))
    monkeypatch.setattr(gc, "freeze", lambda: done.append("frozen"))
    monkeypatch.setattr(QCluster, "handle", lambda *_args, **_options: done.append("started"))
    for name in ("die_with_parent", "install"):
        monkeypatch.setattr(qcluster_supervisor, name, lambda: None)
    return done


@pytest.mark.parametrize(("queue", "niceness"), [(None, [NICENESS]), ("default", [NICENESS]), ("fast", [])])
def test_cluster_whose_work_nobody_waits_for_gives_way(started, monkeypatch, queue, niceness):
    """Whichever it is, its modules are loaded and frozen before its processes are forked."""
    monkeypatch.delenv("Q_CLUSTER_NAME", raising=False)
    if queue is not None:
        monkeypatch.setenv("Q_CLUSTER_NAME", queue)
    Command().handle()
    assert started == [*niceness, "frozen", "started"]


class Process:
    """A process of a cluster, whose `sentinel` is readable when it has ended."""

    def __init__(self, *, left=IDLE):
        self.end, self.timer = StopEvent(), multiprocessing.Value("f", left)
        self.sentinel = self.end.fileno()

    def is_alive(self):
        return not self.end.is_set()


@pytest.fixture
def guarded(monkeypatch):
    """A guard in a thread of its own, whose pool has one idle worker; what it does is noted."""
    monkeypatch.setattr(qcluster_supervisor, "run_schedules", lambda _broker: pytest.fail("too early"))
    guard = Sentinel.__new__(Sentinel)
    guard.start_event, guard.stop_event, guard.broker, guard.done = StopEvent(), StopEvent(), None, []
    guard.pool, guard.monitor, guard.pusher = [Process()], Process(), Process()
    replaced = threading.Event()

    def reincarnate(process):
        if process is guard.monitor:
            guard.monitor = Process()
            return
        guard.done.append(process)
        guard.pool = [Process()]
        replaced.set()

    guard.reincarnate, guard.replaced, guard.stop = reincarnate, replaced, lambda: guard.done.append("stopped")
    guard.thread = threading.Thread(target=guard.guard)
    guard.thread.start()
    yield guard
    guard.stop_event.set()
    guard.thread.join(5)


def test_worker_that_ends_is_replaced_while_the_guard_waits(guarded):
    worker, started_at = guarded.pool[0], time.monotonic()
    time.sleep(0.05)
    worker.end.set()
    assert guarded.replaced.wait(qcluster_supervisor.IDLE_SECONDS)
    assert time.monotonic() - started_at < 1
    assert guarded.done == [worker]


def test_guard_that_waits_stops_at_once(guarded):
    time.sleep(0.05)
    started_at = time.monotonic()
    guarded.stop_event.set()
    guarded.thread.join(qcluster_supervisor.IDLE_SECONDS)
    assert time.monotonic() - started_at < 1
    assert guarded.done == ["stopped"]


def test_worker_whose_task_takes_too_long_is_replaced(guarded):
    """The guard finds out that it works when it looks next, and then counts its time down."""
    working = Process(left=Conf.GUARD_CYCLE / 2)
    guarded.pool = [working]
    guarded.monitor.end.set()  # wakes it up
    assert guarded.replaced.wait(5)
    assert working.timer.value == 0


@pytest.mark.parametrize(
    ("result", "is_reported"),
    [
        ({"success": True, "ack_id": None}, False),
        ({"success": True, "ack_id": 5}, True),
        ({"success": False, "ack_id": None}, True),
        ({"success": False, "ack_id": 5}, True),
    ],
)
def test_monitor_gets_failures_and_what_it_has_to_acknowledge(result, is_reported):
    results = queue.SimpleQueue()
    Reports(results).put(result)
    assert results.empty() is not is_reported
