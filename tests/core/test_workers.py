"""Queues without workers, and what each worker process repeats."""

import threading
from datetime import timedelta

from django.db import OperationalError
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


def test_action_is_repeated_after_the_database_or_redis_was_down():
    faults, is_well = iter([OperationalError(), RedisError()]), threading.Event()

    def act():
        if fault := next(faults, None):
            raise fault
        is_well.set()
        threading.Event().wait()  # The thread never ends: let it do nothing during other tests.

    workers.repeat(act, every_seconds=0, proc_name="test")
    assert is_well.wait(5)
