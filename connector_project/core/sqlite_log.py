"""Moves SQLite's write-ahead log into the database, so that no writer has to: each would hold all others meanwhile."""

from django.db import connection


def checkpoint() -> None:
    """Every two seconds: move what no reader or writer needs now (PASSIVE: nobody waits for this)."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:  # there SQLite refuses it
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
