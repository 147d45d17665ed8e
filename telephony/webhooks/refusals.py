"""Counts the notifications that are refused over a tenant's limit."""

import threading
from collections import Counter
from datetime import datetime

from django.db import transaction
from django.db.models import F

from tenants.models import Tenant, UisConnection

TOO_MANY = 429

# Not written yet, because another request was writing: they are written with the next one.
_pending: Counter[int] = Counter()
_lock = threading.Lock()


def refuse(hook: str, *, now: datetime) -> int | None:
    """Count a notification of a tenant over the limit, and return the HTTP status; None if the hook is not known."""
    limited = UisConnection.objects.filter(tenant__in=Tenant.objects.by_uis_hook(hook, now=now), limited_until__gt=now)
    pk = limited.values_list("pk", flat=True).first()
    if pk is None:
        return None
    _count(pk)
    return TOO_MANY


def _count(pk: int) -> None:
    """Write the count unless another request is doing so: requests of a flood must not wait for each other's locks."""
    with _lock:
        _pending[pk] += 1
    with transaction.atomic():
        free = UisConnection.objects.filter(pk=pk).select_for_update(skip_locked=True, no_key=True)
        if not free.values_list("pk"):
            return
        with _lock:
            counted = _pending.pop(pk, 0)
        UisConnection.objects.filter(pk=pk).update(refused_webhooks=F("refused_webhooks") + counted)
