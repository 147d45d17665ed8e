"""The brokers of django-q2 with what its own lack: an equal entry that waits is enough, and old live entries expire.

A task is named by its function and arguments. `push_once` adds it only if no entry of this name waits: one that a
cluster has taken does not count, because its task may have read the database before our row was there.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_q.brokers import orm, redis_broker
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage

from connector_project.core import redis_client
from connector_project.core.models import QueuedTask

# An entry of the live queue that waited longer is dropped: by then its row is due, and the sweep queues it elsewhere.
EXPIRES_AFTER = {"fast": timedelta(seconds=90)}
BATCH = 500
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


def task_name(task: str, args: Sequence[object]) -> str:
    return f"{task}({','.join(map(str, args))})"


class RedisBroker(redis_broker.Redis):  # type: ignore[misc]  # django-q2 has no types
    """A list of entries, and the last entry of each name, to find out whether it is still in the list."""

    def __init__(self, list_key: str) -> None:
        super().__init__(list_key=list_key)
        self.queue = list_key
        self._push_once = self.connection.register_script(_PUSH_ONCE)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.queue = self.list_key.split(":")[1]
        self._push_once = self.connection.register_script(_PUSH_ONCE)

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        return redis_client.connect()

    def enqueue(self, payload: str) -> Any:
        """Add an entry of django-q2's own scheduler."""
        return self.push_once(_name_of(payload), payload)

    def push(self, payload: str) -> Any:
        return self.connection.rpush(self.list_key, payload)

    def push_once(self, name: str, payload: str) -> Any:
        keys = [self.list_key, f"django_q:{self.queue}:last:{name}"]
        return self._push_once(keys=keys, args=[payload, REMEMBERED_SECONDS])

    def dequeue(self) -> Any:
        return _unexpired(self, super().dequeue())

    def drop_expired(self, *, now: datetime) -> None:
        """Remove the entries that nobody took in time; they are at the head of the list."""
        dropped = BATCH
        while dropped == BATCH:
            head = self.connection.lrange(self.list_key, 0, BATCH - 1)
            expired = list(takewhile(lambda payload: _is_expired(self.queue, payload, now=now), head))
            # By value: a cluster may take the same entries now.
            pipeline = self.connection.pipeline(transaction=False)
            for payload in expired:
                pipeline.lrem(self.list_key, 1, payload)
            dropped = len(pipeline.execute())


class DatabaseBroker(orm.ORM):  # type: ignore[misc]  # django-q2 has no types
    """Entries are rows; the names of those that are queued once are in rows of our own."""

    @property
    def queue(self) -> str:
        return str(self.list_key)

    def enqueue(self, payload: str) -> Any:
        """Add an entry of django-q2's own scheduler."""
        return self.push_once(_name_of(payload), payload)

    def push(self, payload: str) -> Any:
        return super().enqueue(payload)

    def push_once(self, name: str, payload: str) -> Any:
        """Add the entry, in the caller's transaction. Needs a transaction."""
        name = f"{self.queue}:{name}"
        if self._is_waiting(name):
            return None
        pk = self.push(payload)
        QueuedTask.objects.create(entry=pk, name=name)
        return pk

    def _is_waiting(self, name: str) -> bool:
        # Locked, so that no cluster takes the entry before our row is committed.
        lock = "FOR UPDATE OF entry SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
        sql = f"""
            SELECT entry.id FROM core_queuedtask queued JOIN django_q_ormq entry ON entry.id = queued.entry
            WHERE queued.name = %s AND entry.lock <= %s ORDER BY entry.id LIMIT 1 {lock}
        """  # noqa: S608 -- nothing of it is input
        with connection.cursor() as cursor:
            cursor.execute(sql, [name, connection.ops.adapt_datetimefield_value(timezone.now())])
            return cursor.fetchone() is not None

    def dequeue(self) -> Any:
        return _unexpired(self, super().dequeue())

    def drop_expired(self, *, now: datetime) -> None:
        """Remove the entries that nobody took in time, and the names of entries that are gone."""
        if limit := EXPIRES_AFTER.get(self.queue):
            OrmQ.objects.filter(key=self.queue, lock__lte=now - limit).delete()
        QueuedTask.objects.exclude(entry__in=OrmQ.objects.values("pk")).delete()


Broker = RedisBroker | DatabaseBroker


def create(list_key: str) -> Broker:
    """Return the broker of a queue; django-q2 calls this (`broker_class`)."""
    return RedisBroker(list_key) if settings.REDIS_URL else DatabaseBroker(list_key)


def _unexpired(broker: Broker, taken: Iterable[tuple[Any, Any]] | None) -> list[tuple[Any, Any]] | None:
    """Return the taken entries that have not expired; if one has, drop what else has."""
    if taken is None or broker.queue not in EXPIRES_AFTER:
        return taken  # type: ignore[return-value]
    now = timezone.now()
    kept: list[tuple[Any, Any]] = []
    expired: list[tuple[Any, Any]] = []
    for ack_id, payload in taken:
        (expired if _is_expired(broker.queue, payload, now=now) else kept).append((ack_id, payload))
    for ack_id, _payload in expired:
        broker.acknowledge(ack_id)
    if expired:
        broker.drop_expired(now=now)
    return kept or None


def _is_expired(queue: str, payload: str | bytes, *, now: datetime) -> bool:
    limit = EXPIRES_AFTER.get(queue)
    try:
        return limit is not None and now - SignedPackage.loads(payload)["started"] > limit
    except BadSignature:
        return False  # django-q2 logs and drops it.


def _name_of(payload: str) -> str:
    task = SignedPackage.loads(payload)
    return task_name(task["func"], task["args"])
