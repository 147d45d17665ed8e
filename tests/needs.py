"""Servers and programs that some tests need: without them these tests are skipped, or fail if CI=true."""

import os
from pathlib import Path
from typing import NoReturn

import pytest
from django.db import connection

postgresql_plans = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has other indexes")
two_connections = pytest.mark.skipif(connection.vendor == "sqlite", reason="an SQLite in memory belongs to one thread")


def missing(reason: str) -> NoReturn:
    """Skip the running test; fail it if CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def program(path: Path, *, package: str) -> Path:
    """Return the path of a program, if it is installed."""
    if not path.exists():
        missing(f"{path} is not installed: apt-get install {package}")
    return path
