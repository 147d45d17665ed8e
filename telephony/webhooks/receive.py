"""Stores webhooks as they arrive, in one statement; a worker reads them."""

import hashlib
from datetime import datetime

from django.db import connection
from django.db.models import F

from connector_project.core import jobs
from connector_project.core.task_queue import enqueue_committed
from telephony import task_names
from telephony.models.notification import LONGEST_EVENT
from tenants.models import Tenant, UisConnection

OK, UNKNOWN, TOO_LARGE = 200, 404, 413

# `repeats` tells a new row (0) from a repeated request, whose row was stored before.
STORE = """
INSERT INTO telephony_notification
    (tenant_id, via_old_hook, received_at, event_in_url, query, body, digest, next_attempt_at,
     repeats, attempts, event, outcome, reason, detail)
SELECT tenant_id, hook_digest <> %(hook)s, %(now)s, %(event)s, %(query)s, %(body)s, %(digest)s, %(next_attempt_at)s,
       0, 0, '', 'RECEIVED', '', ''
FROM tenants_uisconnection
WHERE hook_digest = %(hook)s OR (old_hook_digest = %(hook)s AND old_hook_until > %(now)s)
ON CONFLICT (tenant_id, digest) DO UPDATE SET repeats = telephony_notification.repeats + 1
RETURNING id, repeats
"""


def store(hook: str, *, event: str, query: str, body: str, now: datetime) -> int:
    """Store a webhook and queue its task; return the HTTP status. A repeat is counted on the stored row."""
    values = {
        "hook": _digest(hook),
        "event": _storable(event)[:LONGEST_EVENT],
        "query": _storable(query),
        "body": _storable(body),
        "digest": _digest("\0".join((event, query, body))),
        "now": connection.ops.adapt_datetimefield_value(now),
        "next_attempt_at": connection.ops.adapt_datetimefield_value(now + jobs.QUEUED_FOR),
    }
    with connection.cursor() as cursor:
        cursor.execute(STORE, values)
        row = cursor.fetchone()
    if row is None:
        return UNKNOWN
    pk, repeats = row
    if not repeats:
        enqueue_committed(task_names.PROCESS_NOTIFICATION, pk, queue="fast")
    return OK


def count_oversized(hook: str, *, now: datetime) -> int:
    """Count a rejected body, because nothing else would show that it arrived; return the HTTP status."""
    known = UisConnection.objects.filter(tenant__in=Tenant.objects.by_uis_hook(hook, now=now))
    return TOO_LARGE if known.update(oversized_webhooks=F("oversized_webhooks") + 1) else UNKNOWN


def _digest(text: str) -> str:
    """The digest of `core.secret_tokens`, which hooks are stored as."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _storable(text: str) -> str:
    """Replace what PostgreSQL accepts in no text; neither the URL nor the body is under our control."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
