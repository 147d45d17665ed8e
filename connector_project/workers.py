"""Finds queues without live workers from the workers' heartbeats."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from connector_project.models import Worker
from connector_project.queue import Queue

QUEUES: tuple[Queue, ...] = ("default", "fast")
BEAT_IS_OLD_AFTER = timedelta(seconds=45)


def unserved(known: Iterable[Worker], *, now: datetime) -> dict[Queue, datetime | None]:
    """Return each queue without a recent heartbeat, with its last known heartbeat."""
    beats = {name: max((worker.beat_at for worker in known if worker.queue == name), default=None) for name in QUEUES}
    return {name: beat for name, beat in beats.items() if beat is None or now - beat > BEAT_IS_OLD_AFTER}


def missing(*, now: datetime) -> dict[Queue, datetime | None]:
    return unserved(Worker.objects.all(), now=now)
