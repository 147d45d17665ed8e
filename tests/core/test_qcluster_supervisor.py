"""How a cluster starts; a retired pool finishes its tasks, but none of them outlives its time."""

import gc
import os
import threading
import time
from types import SimpleNamespace

import pytest
from django_q.conf import Conf
from django_q.management.commands.qcluster import Command as QCluster

from connector_project.core import qcluster_supervisor
from connector_project.core.jobs import LEASE
from connector_project.core.qcluster_supervisor import IDLE, NICENESS, _drain_and_kill
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
