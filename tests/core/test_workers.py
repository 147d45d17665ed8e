"""Queues without workers, and what each worker process repeats."""

import signal
import subprocess
import sys
import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from redis import RedisError

from connector_project.core import workers
from connector_project.core.models import WorkerHeartbeat

NOW = timezone.now()


def worker(queue, seconds):
    return WorkerHeartbeat(name=f"{queue}-{seconds}", queue=queue, last_seen_at=NOW - timedelta(seconds=seconds))


def test_one_recent_heartbeat_is_enough():
    assert (
        workers.queues_without_workers([worker("default", 45), worker("default", 500), worker("fast", 1)], now=NOW)
        == {}
    )


def test_queue_without_a_recent_heartbeat_is_returned_with_its_last():
    old, older = worker("fast", 46), worker("fast", 500)
    assert workers.queues_without_workers([worker("default", 1), older, old], now=NOW) == {"fast": old.last_seen_at}
    assert workers.queues_without_workers([], now=NOW) == {"default": None, "fast": None}


def test_action_is_repeated_whatever_it_raises(caplog):
    """The driver's InterfaceError is no DatabaseError, and our own code may be wrong."""
    faults = iter([OperationalError(), InterfaceError(), RedisError(), TypeError("ours"), MemoryError()])
    is_well = threading.Event()

    def act():
        if fault := next(faults, None):
            raise fault
        is_well.set()
        threading.Event().wait()  # The thread never ends: let it do nothing during other tests.

    workers.repeat(act, every_seconds=0, proc_name="test")
    assert is_well.wait(5)
    assert caplog.text.count("a repeated action failed") == 5
    assert "TypeError: ours" in caplog.text


def test_action_says_when_to_repeat_it(monkeypatch):
    slept, answers, is_done = [], iter([5.0, None]), threading.Event()

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            is_done.set()
            threading.Event().wait()

    def act():
        return next(answers)

    monkeypatch.setattr(workers, "time", SimpleNamespace(sleep=sleep))
    workers.repeat(act, every_seconds=2.0, proc_name="test")
    assert is_done.wait(5)
    assert slept == [5.0, 2.0]


def test_action_is_repeated_if_its_connection_cannot_even_be_closed(monkeypatch):
    class Broken:
        def close_if_unusable_or_obsolete(self):
            raise InterfaceError

        def close(self):
            raise InterfaceError

    monkeypatch.setattr(workers, "connection", Broken())
    workers._run_once(lambda: None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_ends_all_the_same_ends_its_process(monkeypatch, caplog):
    ended = threading.Event()
    monkeypatch.setattr(workers, "_end_process", ended.set)

    def act():
        raise SystemExit

    workers.repeat(act, every_seconds=0, proc_name="ended")
    assert ended.wait(5)
    for thread in threading.enumerate():
        if thread.name == "act of ended":
            thread.join()
    assert "its worker is replaced" in caplog.text


@pytest.mark.slow
def test_process_is_ended_by_a_signal_so_that_the_supervisor_restarts_the_pool():
    code = "from connector_project.core import workers; workers._end_process()"
    setup = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup()"
    done = subprocess.run([sys.executable, "-c", f"{setup}; {code}"], timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
