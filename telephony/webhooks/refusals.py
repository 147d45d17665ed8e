"""Counts the notifications that are refused over a tenant's limit."""

import threading
from collections import Counter

from django.db import connection

TOO_MANY = 429

# Not written yet, because another request was writing: they are written with the next one.
_pending: Counter[int] = Counter()
_lock = threading.Lock()

_COUNT = """
UPDATE tenants_uisconnection SET refused_webhooks = refused_webhooks + %s
WHERE id = (SELECT id FROM tenants_uisconnection WHERE id = %s {lock})
"""


def refuse(connection_id: int) -> int:
    """Count a notification of a tenant over the limit, and return the HTTP status.

    Another request may be writing the count: requests of a flood must not wait for each other's locks.
    """
    with _lock:
        counted = _pending.pop(connection_id, 0) + 1
    lock = "FOR NO KEY UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    is_written = False
    try:
        with connection.cursor() as cursor:
            cursor.execute(_COUNT.format(lock=lock), [counted, connection_id])
            is_written = cursor.rowcount > 0
    finally:
        if not is_written:
            with _lock:
                _pending[connection_id] += counted
    return TOO_MANY
