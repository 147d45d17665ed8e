"""What is no task of ours, for both queues: it must be refused, whatever it is."""

import os
from typing import Any

from django.utils import timezone
from django_q.signing import SignedPackage

from connector_project.core import task_queue


class _MakesDirectory:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def push_foreign_entries(directory: str) -> list[str]:
    """Put into both queues what is no task of ours; return the paths that exist if something of it was run."""
    paths = []
    for queue in task_queue.QUEUES:
        broker = task_queue.create_broker(queue)
        by_name, by_pickle = (f"{directory}/{queue}-{how}" for how in ("by-name", "by-pickle"))
        task = {"id": "1", "name": "one", "kwargs": {}, "started": timezone.now(), "cluster": queue}
        broker.push(SignedPackage.dumps(task | {"func": "os.mkdir", "args": (by_name,)}))
        broker.push(SignedPackage.dumps(task | {"func": "crm.tasks.probe_all", "args": (_MakesDirectory(by_pickle),)}))
        broker.push(b"\xff\xfe\x00 garbage")
        broker.push(b"no signature")
        paths += [by_name, by_pickle]
    return paths


def queue_depths() -> list[int]:
    return [task_queue.depth(queue) for queue in task_queue.QUEUES]
