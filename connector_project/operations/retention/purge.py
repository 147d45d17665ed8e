"""Deletes rows whose term is over: in small transactions with pauses, so that webhooks are stored as fast as ever.

It may be interrupted at any time and goes on the next time: what is left is found by its index.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.db.models import OuterRef, Subquery

from connector_project.operations.retention import terms
from connector_project.operations.retention.terms import NOTIFICATION, PAYLOAD, TERMS, Kept
from telephony.models import AccessLogEntry, Call, Notification
from tenants import retention
from tenants.models import Tenant

BATCH = 500
PAUSE_SECONDS = 0.02
PAYLOAD_KEY = f"{Notification._meta.db_table}.body"  # rows of which only the raw texts were deleted


@dataclass(frozen=True, kw_only=True)
class Purged:
    """Rows by table, and whether nothing is left to purge."""

    rows: Counter[str]
    is_complete: bool


def run(*, now: datetime, seconds: float | None = None) -> Purged:
    """Delete what is past its term, for so many seconds at most."""
    ends_at = time.monotonic() + seconds if seconds is not None else None
    rows = Counter[str]()
    for label, tenant in _scopes():
        delete = _empty if label == PAYLOAD_KEY else _delete
        while done := delete(label, tenant, now=now):
            rows.update(done)
            time.sleep(PAUSE_SECONDS)
            if ends_at is not None and time.monotonic() > ends_at:
                return Purged(rows=rows, is_complete=False)
    return Purged(rows=+rows, is_complete=True)


def preview(*, now: datetime) -> Counter[str]:
    """Count what `run` would delete."""
    rows = Counter[str]()
    for label, tenant in _scopes():
        found = _expired(label, tenant, now=now)
        if label == PAYLOAD_KEY:
            found = found.exclude(pk__in=_expired(NOTIFICATION, tenant, now=now).values("pk"))
        rows[label if label == PAYLOAD_KEY else found.model._meta.db_table] += found.order_by().count()
        for child, (parent, field) in terms.WITH_PARENT.items():
            if parent == label and child in terms.installed(terms.WITH_PARENT):
                children = terms.model_of(child)._default_manager.filter(**{f"{field}__in": found.order_by()})
                rows[children.model._meta.db_table] += children.order_by().count()
    return +rows


def _scopes() -> Iterator[tuple[str, Tenant | None]]:
    """Yield each table with each client, and once for its rows of no client; then the raw texts."""
    tenants = list(Tenant.objects.order_by("pk").only("pk", "offboarded_at", *retention.FIELDS))
    for label in terms.installed(TERMS):
        of_tenant = {field.name: field for field in terms.model_of(label)._meta.fields}.get("tenant")
        if of_tenant is not None:
            yield from ((label, tenant) for tenant in tenants)
        if of_tenant is None or of_tenant.null:
            yield label, None
    yield from ((PAYLOAD_KEY, tenant) for tenant in tenants)


def _expired(label: str, tenant: Tenant | None, *, now: datetime) -> models.QuerySet[Any]:
    kept: Kept = PAYLOAD if label == PAYLOAD_KEY else TERMS[label]
    rows = terms.model_of(NOTIFICATION if label == PAYLOAD_KEY else label)._default_manager.filter(kept.finished)
    column = rows.model._meta.get_field(kept.since)
    since: Any = retention.kept_since(tenant, kept.term, now=now)
    if not isinstance(column, models.DateTimeField):
        since = since.date()
    if any(field.name == "tenant" for field in rows.model._meta.fields):
        rows = rows.filter(tenant=tenant)
    if label == NOTIFICATION:
        rows = rows.filter(terms.without_call(started_before=since))
    return rows.filter(**{f"{kept.since}__lt": since}).order_by(kept.since)


@transaction.atomic
def _delete(label: str, tenant: Tenant | None, *, now: datetime) -> Counter[str]:
    """Delete one batch; return the rows by table."""
    chosen = _chosen(label, tenant, now=now)
    if not chosen:
        return Counter()
    model = terms.model_of(label)
    if model is Call:
        _keep_access_log(chosen)
    # Load only the primary key, so that nothing is decrypted.
    _total, by_label = model._default_manager.filter(pk__in=chosen).only("pk").delete()
    return Counter({terms.model_of(label)._meta.db_table: count for label, count in by_label.items()})


@transaction.atomic
def _empty(label: str, tenant: Tenant | None, *, now: datetime) -> Counter[str]:
    """Delete the raw texts of one batch of notifications."""
    chosen = _chosen(label, tenant, now=now)
    return Counter({label: Notification.objects.filter(pk__in=chosen).update(query="", body="")} if chosen else {})


def _chosen(label: str, tenant: Tenant | None, *, now: datetime) -> list[int]:
    """Lock and return a batch; a row that somebody else has locked is left for the next time."""
    rows = _expired(label, tenant, now=now).select_for_update(of=("self",), skip_locked=True)
    return list(rows.values_list("pk", flat=True)[:BATCH])


def _keep_access_log(calls: list[int]) -> None:
    """Write the session to access log entries of these calls, which are kept longer than the calls."""
    session = Call.objects.filter(pk=OuterRef("call_id")).values("session_id")
    AccessLogEntry.objects.filter(call__in=calls).update(session_id=Subquery(session), call=None)
