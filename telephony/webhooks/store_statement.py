"""The statement that a webhook costs: it finds the hook by its digest, stores the notification or counts a repeat."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

_HOOK = """
SELECT id, tenant_id, hook_digest <> %(hook)s AS via_old_hook,
       limited_until IS NOT NULL AND limited_until > %(now)s AS is_limited
FROM tenants_uisconnection
WHERE hook_digest = %(hook)s OR (old_hook_digest = %(hook)s AND old_hook_until > %(now)s)
"""
# `repeats` tells a new row (0) from a repeated request, whose row was stored before.
_INSERT = """
INSERT INTO telephony_notification
    (tenant_id, via_old_hook, received_at, event_in_url, query, body, digest, source, next_attempt_at,
     repeats, attempts, event, outcome, reason, detail)
SELECT tenant_id, via_old_hook, %(now)s, %(event)s, %(query)s, %(body)s, %(digest)s, %(source)s, %(next_attempt_at)s,
       0, 0, '', 'RECEIVED', %(reason)s, ''
FROM {hook}
WHERE NOT is_limited
ON CONFLICT (tenant_id, digest) DO UPDATE SET
    repeats = telephony_notification.repeats + 1,
    window_repeats = CASE WHEN telephony_notification.repeat_window = %(window)s
                          THEN telephony_notification.window_repeats + 1 ELSE 1 END,
    minute_repeats = CASE WHEN telephony_notification.repeat_window / %(per_minute)s = %(window)s / %(per_minute)s
                          THEN telephony_notification.minute_repeats + 1 ELSE 1 END,
    repeat_window = %(window)s
RETURNING id, repeats
"""
STORE = f"""
WITH hook AS ({_HOOK}), stored AS ({_INSERT.format(hook="hook")})
SELECT hook.id, stored.id, stored.repeats FROM hook LEFT JOIN stored ON true
"""  # noqa: S608 -- nothing of it is input
# SQLite has no INSERT inside of another statement.
STORE_ON_SQLITE = _INSERT.format(hook=f"({_HOOK}) AS hook")


class Result(NamedTuple):
    """What became of a notification.

    Without `connection_id` nobody has the hook; without `pk` the tenant is limited, and nothing was stored.
    """

    connection_id: int | None
    pk: int | None
    is_new: bool


def run(values: Mapping[str, Any]) -> Result:
    """Store a notification, or count a repeat. What is refused costs a second statement on SQLite only."""
    database = connections[DEFAULT_DB_ALIAS]
    if database.vendor == "sqlite":
        row, was_run_again = _store_on_sqlite(database, values), False
    else:
        row, was_run_again = _run_again_if_closed(database, values)
    if row is None:
        return Result(None, None, is_new=False)
    connection_id, pk, repeats = row
    # The first run may have stored it before its answer was lost: a task too many does no harm.
    return Result(connection_id, pk, is_new=pk is not None and repeats <= was_run_again)


def _run_again_if_closed(database: BaseDatabaseWrapper, values: Mapping[str, Any]) -> tuple[Any, bool]:
    """Return the row, and whether the database had closed the connection, so that the statement was run again.

    CONN_HEALTH_CHECKS would ask the database before each webhook, which is a second round trip.
    """
    if database.in_atomic_block or database.connection is None:
        return _fetch(database, STORE, values), False
    database.health_check_done = True  # type: ignore[attr-defined]  # the stubs lack it
    try:
        return _fetch(database, STORE, values), False
    except (OperationalError, InterfaceError):
        if database.is_usable():
            raise
    database.close()
    return _fetch(database, STORE, values), True


def _store_on_sqlite(database: BaseDatabaseWrapper, values: Mapping[str, Any]) -> Any:
    if stored := _fetch(database, STORE_ON_SQLITE, values):
        return (None, *stored)
    found = _fetch(database, _HOOK, values)
    return found and (found[0], None, None)


def _fetch(database: BaseDatabaseWrapper, sql: str, values: Mapping[str, Any]) -> Any:
    with database.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()
