"""The queue in Redis: a list of entries, and the last entry of each name, which may still be in the list."""

import uuid
from datetime import datetime
from itertools import takewhile
from typing import Any

from django_q.brokers import redis_broker

from connector_project.core import redis_client
from connector_project.core.task_queue import accepted, is_expired, runnable, task_name

BATCH = 500
# How long a cluster waits for its next entry before it asks again.
WAIT_SECONDS = 5
# A name that is queued more rarely than this may have two entries at once.
REMEMBERED_SECONDS = 3600

_PUSH_ONCE = """
local last = redis.call('GET', KEYS[2])
if last and redis.call('LPOS', KEYS[1], last) then
    redis.call('EXPIRE', KEYS[2], ARGV[2])
    return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return redis.call('RPUSH', KEYS[1], ARGV[1])
"""


class RedisBroker(redis_broker.Redis):  # type: ignore[misc]  # django-q2 has no types
    def __init__(self, list_key: str) -> None:
        super().__init__(list_key=list_key)
        self.queue = list_key
        self._prepare()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.queue = self.list_key.split(":")[1]
        self._prepare()

    def _prepare(self) -> None:
        self._push_once = self.connection.register_script(_PUSH_ONCE)
        self._pushes = redis_client.ThreadConnections(self.connection)
        self._takes = redis_client.ThreadConnections(redis_client.connect(waits_seconds=WAIT_SECONDS))
        # What is pushed here ends the wait of `dequeue`.
        self._end_key = f"{self.list_key}:end:{uuid.uuid4().hex}"

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        return redis_client.connect()

    def enqueue(self, payload: str) -> Any:
        """Add an entry of django-q2's own scheduler."""
        entry = accepted(payload)
        return entry and self.push_once(task_name(entry.task, entry.args), payload)

    def push(self, payload: str) -> Any:
        return self._pushes.execute("RPUSH", self.list_key, payload)

    def push_once(self, name: str, payload: str) -> Any:
        keys = [self.list_key, f"django_q:{self.queue}:last:{name}"]
        return self._push_once(keys=keys, args=[payload, REMEMBERED_SECONDS])

    def dequeue(self) -> Any:
        """Wait some seconds for the next entry, on a connection of this thread."""
        found = self._takes.execute("BLPOP", self.list_key, self._end_key, str(WAIT_SECONDS))
        is_entry = found and found[0] == self.list_key.encode()
        return runnable(self, [(None, found[1])] if is_entry else None)

    def end_wait(self) -> None:
        """Let the `dequeue` of this broker that waits now, or the next one, return at once."""
        self.connection.rpush(self._end_key, "")
        self.connection.expire(self._end_key, 2 * WAIT_SECONDS)

    def drop_expired(self, *, now: datetime) -> None:
        """Remove the entries that nobody took in time; they are at the head of the list."""
        dropped = BATCH
        while dropped == BATCH:
            head = self.connection.lrange(self.list_key, 0, BATCH - 1)
            expired = list(takewhile(lambda payload: is_expired(self.queue, payload, now=now), head))
            # By value: a cluster may take the same entries now.
            pipeline = self.connection.pipeline(transaction=False)
            for payload in expired:
                pipeline.lrem(self.list_key, 1, payload)
            dropped = len(pipeline.execute())
