"""One worker at a time compares, links and registers for a client."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from connector_project.core import http_client
from connector_project.core.compiled_queries import CompiledUpdate
from connector_project.core.compiled_returning import CompiledReturning
from connector_project.core.jobs import LEASE, stopped_workers, worker_name
from connector_project.core.placeholders import Placeholders
from connector_project.core.task_queue import enqueue
from crm.retailcrm.errors import SYSTEM
from telephony import task_names
from tenants.models import CrmConnection, Tenant

PATIENCE_SECONDS, TURN_SECONDS = 20.0, 0.2
UNCLAIMED: dict[str, Any] = {
    "module_claim": None,
    "module_claimed_by": "",
    "module_claimed_until": None,
    "is_module_wanted": False,
}


@contextmanager
def exclusive(tenant: Tenant, *, now: datetime, is_patient: bool = False) -> Iterator[bool]:
    """Let one worker at a time compare, link and register for this client; the value is whether this one may.

    Otherwise the older list of two could reach the CRM last, while we remember the newer one. Who may not leaves a
    note, for which another run is queued at the end; if patient, they wait. Raises RemoteUnavailable after a while.
    """
    is_mine = _claim(tenant, now=now)
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while is_patient and not is_mine:
        if time.monotonic() > ends_at:
            raise http_client.RemoteUnavailable(SYSTEM, "Our module is being registered by another worker.")
        time.sleep(TURN_SECONDS)
        is_mine = _claim(tenant, now=timezone.now())
    try:
        yield is_mine
    finally:
        if is_mine:
            _release(tenant)


def is_left(*, now: Any) -> Q:
    """Return the condition that a worker has left its claim: the lease is over, or its heartbeats have stopped.

    One that was only cut off registers no more when it finds its claim taken.
    """
    return Q(module_claimed_until__lte=now) | Q(
        module_claimed_until__isnull=False, module_claimed_by__in=stopped_workers(now=now)
    )


def _claim(tenant: Tenant, *, now: datetime) -> bool:
    """Claim the registration until the lease ends, and read what is registered now; else leave a note."""
    mine = CrmConnection.objects.filter(pk=tenant.crm.pk)
    claim = {"connection": tenant.crm.pk, "claim": uuid.uuid4(), "worker": worker_name(), "now": now}
    while not (found := _CLAIM.first(**claim)):
        if mine.filter(module_claimed_until__gt=now).update(is_module_wanted=True) or not mine.exists():
            return False
    for name in ("registered_module", "registered_at", "module_claim"):
        setattr(tenant.crm, name, getattr(found, name))
    return True


def _claims(given: Placeholders) -> Any:
    now = given.moment("now")
    free = CrmConnection.objects.filter(Q(module_claimed_until=None) | is_left(now=now), pk=given.integer("connection"))
    return free, {
        "module_claim": given.uuid("claim"),
        "module_claimed_by": given.text("worker"),
        "module_claimed_until": now + LEASE,
        "is_module_wanted": False,
    }


def _releases(given: Placeholders) -> Any:
    mine = CrmConnection.objects.filter(pk=given.integer("connection"), module_claim=given.uuid("claim"))
    return mine.filter(is_module_wanted=False), UNCLAIMED


_CLAIM: CompiledReturning[CrmConnection] = CompiledReturning(_claims)
_RELEASE = CompiledUpdate(_releases)


def _release(tenant: Tenant) -> None:
    if _RELEASE.run(connection=tenant.crm.pk, claim=tenant.crm.module_claim):
        return
    with transaction.atomic():
        if claimed(tenant).update(**UNCLAIMED):
            enqueue(task_names.LINK_USERS, tenant.pk)


def claimed(tenant: Tenant) -> QuerySet[CrmConnection]:
    """Return the connection if this worker's claim still holds it."""
    return CrmConnection.objects.filter(pk=tenant.crm.pk, module_claim=tenant.crm.module_claim)
