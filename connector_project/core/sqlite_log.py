"""Moves SQLite's write-ahead log into the database, so that no writer has to: each would hold all others meanwhile."""

from django.db import connection

from connector_project.core import workers

EVERY_SECONDS = 1.0


def start_checkpoints() -> None:
    """Let this web process move the log each second: alone it would fill it within seconds, and stop its writers."""
    if connection.vendor == "sqlite":
        workers.repeat(checkpoint, every_seconds=EVERY_SECONDS, proc_name="web")


def checkpoint() -> None:
    """Move what no reader or writer needs now (PASSIVE: nobody waits for this).

    Not inside a transaction: SQLite refuses it there.
    """
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
