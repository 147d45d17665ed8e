"""Ends this thread's session at PostgreSQL, as a restart of the server does."""

import psycopg2
import pytest
from django.db import connection


def end():
    """Let the server close the connection, which does not know it yet. Skips the test on SQLite."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite closes no connection.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    other = psycopg2.connect(**connection.get_connection_params() | {"cursor_factory": None})
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
    other.close()
