"""Stores webhooks as they arrive, by one statement; a worker reads them."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F

from connector_project.core import jobs
from connector_project.core.networks import LONGEST_ADDRESS
from connector_project.core.prepared_statements import named
from connector_project.core.task_queue import enqueue_first, entry_transaction
from telephony import task_names
from telephony.models import Notification
from telephony.models.notification import LONGEST_EVENT
from telephony.webhooks import refusals
from tenants.models import Tenant, UisConnection

OK, UNKNOWN = 200, 404
# Repeats are counted by these periods, for `limits`.
WINDOW, WINDOWS_PER_MINUTE = timedelta(seconds=10), 6
RETRY_AFTER_SECONDS = 10  # of an answer 429
BAD_CHARSET = Notification.Reason.BAD_CHARSET.value

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
    minute_repeats = CASE WHEN telephony_notification.repeat_window / {per_minute} = %(window)s / {per_minute}
                          THEN telephony_notification.minute_repeats + 1 ELSE 1 END,
    repeat_window = %(window)s
RETURNING id, repeats
"""
STORE = named(f"""
WITH hook AS ({_HOOK}), stored AS ({_INSERT.format(hook="hook", per_minute=WINDOWS_PER_MINUTE)})
SELECT hook.id, stored.id, stored.repeats FROM hook LEFT JOIN stored ON true
""")  # noqa: S608 -- nothing of it is input
# SQLite has no INSERT inside of another statement.
STORE_ON_SQLITE = named(_INSERT.format(hook=f"({_HOOK}) AS hook", per_minute=WINDOWS_PER_MINUTE))


class Result(NamedTuple):
    """What became of a notification.

    Without `connection_id` nobody has the hook; without `pk` the tenant is limited, and nothing was stored.
    """

    connection_id: int | None
    pk: int | None
    is_new: bool


def store(hook: str, *, event: str, query: str, body: str, reason: str = "", source: str = "", now: datetime) -> int:
    """Store a webhook and queue its task; return the HTTP status. A repeat is counted on the stored row.

    `reason` says why the body cannot be read, if that is known already; `source` is the sender's address.
    """
    values: dict[str, Any] = {
        "hook": _digest(hook),
        "event": _storable(event)[:LONGEST_EVENT],
        "query": _storable(query),
        "body": _storable(body),
        "digest": _digest("\0".join((event, query, body))),
        "reason": reason,
        "source": _storable(source)[:LONGEST_ADDRESS],
        "window": window_of(now),
        "now": connection.ops.adapt_datetimefield_value(now),
        "next_attempt_at": connection.ops.adapt_datetimefield_value(now + jobs.QUEUED_FOR),
    }
    with entry_transaction():
        result = _run(values)
        if result.is_new and result.pk is not None:
            enqueue_first(task_names.PROCESS_NOTIFICATION, result.pk, queue="fast")
    if result.pk is not None:
        return OK
    return UNKNOWN if result.connection_id is None else refusals.refuse(result.connection_id)


def _run(values: Mapping[str, Any]) -> Result:
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
        return STORE.fetchone(values), False
    database.health_check_done = True  # type: ignore[attr-defined]  # the stubs lack it
    try:
        return STORE.fetchone(values), False
    except (OperationalError, InterfaceError):
        if database.is_usable():
            raise
    database.close()
    return STORE.fetchone(values), True


def _store_on_sqlite(database: BaseDatabaseWrapper, values: Mapping[str, Any]) -> Any:
    if stored := STORE_ON_SQLITE.fetchone(values):
        return (None, *stored)
    found = named(_HOOK).fetchone(values)
    return found and (found[0], None, None)


def window_of(now: datetime) -> int:
    """Return the number of the ten seconds that contain a moment."""
    return int(now.timestamp() // WINDOW.total_seconds())


def count_refused(hook: str, status: int, *, now: datetime) -> int:
    """Count a body that is too large or has no length: nothing else would show that it arrived.

    Return the HTTP status: the given one, if the hook is known.
    """
    known = UisConnection.objects.filter(tenant__in=Tenant.objects.by_uis_hook(hook, now=now))
    return status if known.update(oversized_webhooks=F("oversized_webhooks") + 1) else UNKNOWN


def _digest(text: str) -> str:
    """The digest of `core.secret_tokens`, which hooks are stored as."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _storable(text: str) -> str:
    """Replace what PostgreSQL accepts in no text; neither the URL nor the body is under our control."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
