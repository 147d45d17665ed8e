"""Stores webhooks as they arrive; a worker reads them."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F

from connector_project.core import jobs
from connector_project.core.networks import LONGEST_ADDRESS
from connector_project.core.task_queue import enqueue_first, entry_transaction
from telephony import task_names
from telephony.models import Notification
from telephony.models.notification import LONGEST_EVENT
from telephony.webhooks import refusals, store_statement
from tenants.models import Tenant, UisConnection

OK, UNKNOWN = 200, 404
# Repeats are counted by these periods, for `limits`.
WINDOW, WINDOWS_PER_MINUTE = timedelta(seconds=10), 6
RETRY_AFTER_SECONDS = 10  # of an answer 429
BAD_CHARSET = Notification.Reason.BAD_CHARSET.value


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
        "per_minute": WINDOWS_PER_MINUTE,
        "now": connection.ops.adapt_datetimefield_value(now),
        "next_attempt_at": connection.ops.adapt_datetimefield_value(now + jobs.QUEUED_FOR),
    }
    with entry_transaction():
        result = store_statement.run(values)
        if result.is_new and result.pk is not None:
            enqueue_first(task_names.PROCESS_NOTIFICATION, result.pk, queue="fast")
    if result.pk is not None:
        return OK
    return UNKNOWN if result.connection_id is None else refusals.refuse(result.connection_id)


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
