"""Connections to Redis, with time-outs of our own: a Redis that hangs must not occupy the threads that ask it."""

import os
import threading
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_SECONDS = 1.0
REPLY_SECONDS = 2.0


def connect(*, waits_seconds: float = 0.0) -> redis.Redis:
    """Return a client of REDIS_URL. A lost connection is opened again once; a time-out is not repeated.

    One that `waits` for what is not there yet gets so much more time for its reply.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=REPLY_SECONDS + waits_seconds,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


class ThreadConnections(threading.local):
    """A connection of each thread, for a command that every webhook sends: the client's pool costs twice the command.

    Like the client, it opens a lost connection again once, and does not repeat after a time-out.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None
        self._pid = 0

    def execute(self, *command: str | bytes) -> Any:
        """Send a command and return the reply. Raises redis.RedisError."""
        try:
            return self._ask(command)
        except redis.ConnectionError:
            return self._ask(command)

    def _ask(self, command: tuple[str | bytes, ...]) -> Any:
        if self._pid != os.getpid():  # A connection from before a fork belongs to the parent.
            self._connection, self._pid = self._pool.make_connection(), os.getpid()
        # Both close the connection when they fail; the next command opens it.
        self._connection.send_command(*command)
        return self._connection.read_response()
