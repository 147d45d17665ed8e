"""Stores webhooks as they arrive, in one statement; a worker reads them."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F

from connector_project.core import jobs
from connector_project.core.networks import LONGEST_ADDRESS
from connector_project.core.task_queue import enqueue_committed
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

# `repeats` tells a new row (0) from a repeated request, whose row was stored before.
STORE = """
INSERT INTO telephony_notification
    (tenant_id, via_old_hook, received_at, event_in_url, query, body, digest, source, next_attempt_at,
     repeats, attempts, event, outcome, reason, detail)
SELECT tenant_id, hook_digest <> %(hook)s, %(now)s, %(event)s, %(query)s, %(body)s, %(digest)s, %(source)s,
       %(next_attempt_at)s,
       0, 0, '', 'RECEIVED', %(reason)s, ''
FROM tenants_uisconnection
WHERE (hook_digest = %(hook)s OR (old_hook_digest = %(hook)s AND old_hook_until > %(now)s))
  AND (limited_until IS NULL OR limited_until <= %(now)s)
ON CONFLICT (tenant_id, digest) DO UPDATE SET
    repeats = telephony_notification.repeats + 1,
    window_repeats = CASE WHEN telephony_notification.repeat_window = %(window)s
                          THEN telephony_notification.window_repeats + 1 ELSE 1 END,
    minute_repeats = CASE WHEN telephony_notification.repeat_window / %(per_minute)s = %(window)s / %(per_minute)s
                          THEN telephony_notification.minute_repeats + 1 ELSE 1 END,
    repeat_window = %(window)s
RETURNING id, repeats
"""


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
    with connection.cursor() as cursor:
        cursor.execute(STORE, values)
        row = cursor.fetchone()
    if row is None:
        return refusals.refuse(hook, now=now) or UNKNOWN
    pk, repeats = row
    if not repeats:
        enqueue_committed(task_names.PROCESS_NOTIFICATION, pk, queue="fast")
    return OK


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
