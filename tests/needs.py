"""Servers and programs that some tests need: where one is missing its tests are skipped, or fail when CI=true."""

import os
from pathlib import Path
from typing import NoReturn

import pytest
import redis


def missing(reason: str) -> NoReturn:
    """Skip the test that runs, or fail it where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def redis_at(url: str) -> redis.Redis:
    """Return a Redis that answers."""
    server = redis.Redis.from_url(url, socket_timeout=2)
    try:
        server.ping()
    except redis.RedisError:
        missing(f"Redis does not answer at {url}")
    return server


def program(path: Path, *, package: str) -> Path:
    """Return a program that is installed."""
    if not path.exists():
        missing(f"{path} is not there: apt-get install {package}")
    return path
