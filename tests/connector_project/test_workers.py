"""Which queues nobody works off."""

from datetime import timedelta

from django.utils import timezone

from connector_project import workers
from connector_project.models import Worker

NOW = timezone.now()


def worker(queue, seconds):
    return Worker(name=f"{queue}-{seconds}", queue=queue, beat_at=NOW - timedelta(seconds=seconds))


def test_one_fresh_beat_is_enough():
    assert workers.unserved([worker("default", 45), worker("default", 500), worker("fast", 1)], now=NOW) == {}


def test_queue_without_one_is_named_with_the_last_it_had():
    old, older = worker("fast", 46), worker("fast", 500)
    assert workers.unserved([worker("default", 1), older, old], now=NOW) == {"fast": old.beat_at}
    assert workers.unserved([], now=NOW) == {"default": None, "fast": None}
