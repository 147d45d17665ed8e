"""Connections to Redis, with time-outs of our own: a Redis that hangs must not occupy the threads that ask it."""

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_SECONDS = 1.0
# More than the second for which a cluster waits for its next entry.
REPLY_SECONDS = 2.0


def connect() -> redis.Redis:
    """Return a client of REDIS_URL. A lost connection is opened again once; a time-out is not repeated."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=REPLY_SECONDS,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )
