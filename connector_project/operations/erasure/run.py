"""Searches every table of a client for a number and erases it, table by table, in small transactions.

The client remembers the token of the number first: from then on, late events of earlier calls do not bring it back. A
worker that began before may still write it, so everything is searched once more some minutes later.
"""

import functools
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from connector_project.core import jobs, logging, phone_numbers
from connector_project.core.task_queue import enqueue
from connector_project.core.transactions import run_again_on_conflict
from connector_project.operations.erasure import columns, rows
from connector_project.operations.erasure.columns import Table
from connector_project.operations.erasure.values import Number
from connector_project.operations.models import Erasure
from telephony.models import Call
from tenants import audit, erased_numbers
from tenants.audit import Actor
from tenants.models import AuditLogEntry, Tenant, User, VirtualNumber

TASK = "connector_project.operations.tasks.erase_number"
BATCH = 500
PAUSE_SECONDS = 0.01
SLICE_SECONDS = 60.0
CHECK_AFTER = jobs.LEASE + timedelta(minutes=2)  # by then no worker holds what it read before

logger = logging.logger(__name__)


class Refused(Exception):
    """The number cannot be erased; the text says why."""


def parse(tenant: Tenant, text: str) -> str:
    """Return the digits of a number as typed, or as UIS wrote it if a call has it. Raises Refused."""
    typed = phone_numbers.from_person(text, region=tenant.uis.region)
    digits = typed.digits if typed else _of_a_call(tenant, phone_numbers.from_vendor(text, region=tenant.uis.region))
    if not digits:
        raise Refused(gettext("This is not a phone number. Enter it with its country code, such as +79990000001."))
    if VirtualNumber.objects.filter(tenant=tenant, number=digits, is_active=True).exists():
        raise Refused(gettext("This is a number of the client in UIS, not of a customer."))
    return digits


def _of_a_call(tenant: Tenant, number: str) -> str:
    """Return the number if a call has it, though it is of no country; "" if none has."""
    is_external = phone_numbers.is_external(number)
    return number if is_external and Call.objects.filter(tenant=tenant, contact=number).exists() else ""


def preview(tenant: Tenant, digits: str, *, now: datetime) -> Counter[str]:
    """Count the rows that hold the number, by table."""
    number = _number(tenant.pk, digits)
    found = ((table, row) for table, row in _each(tenant, number, {}) if row is not None)
    return Counter(table.name for table, row in found if rows.changes(row, table, number, now=now))


@transaction.atomic
def start(tenant: Tenant, digits: str, *, by: Actor = None, now: datetime) -> Erasure:
    """Note the erasure, for a task or the caller to run. Only its token is in the audit log."""
    locked = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    token = erased_numbers.remember(locked, digits, now=now)
    audit.log(locked, AuditLogEntry.Action.NUMBER_ERASED, now=now, by=by, new=token)
    user = by if isinstance(by, User) else None
    return Erasure.objects.create(
        tenant=tenant, number=digits, token=token, requested_by=user, requested_at=now, next_attempt_at=now
    )


def run(erasure_id: int, *, now: datetime, seconds: float | None = None) -> Erasure | None:
    """Run an erasure for so many seconds at most; None if another worker has it, or nothing is left to do."""
    erasure = Erasure.objects.select_related("tenant").claim_one(erasure_id, now=now)
    if erasure is None:
        return None
    if erasure.lost_leases >= jobs.MAX_LOST_LEASES:  # A row that breaks its worker does so every time.
        logger.error("an erasure failed each time", erasure=erasure.pk)
        Erasure.objects.release_claimed(erasure, None, state=Erasure.State.FAILED, number="", ended_at=now)
        return None
    with Erasure.objects.returned_on_conflict(erasure, now=now):
        is_complete = _erase(erasure, ends_at=time.monotonic() + seconds if seconds else None, now=now)
    with transaction.atomic():
        _finish(erasure, is_complete=is_complete, now=now)
    return erasure


def resume_due(*, now: datetime) -> None:
    """Queue the erasures that are due: their worker died, or they are to be checked once more."""
    if Erasure.objects.is_any_due(now=now):
        with transaction.atomic():
            for pk in Erasure.objects.requeue(now=now):
                enqueue(TASK, pk)


def _finish(erasure: Erasure, *, is_complete: bool, now: datetime) -> None:
    """Write the progress; a number is deleted with the second search."""
    changed: dict[str, Any] = {"erased": erasure.erased, "position": erasure.position}
    due: datetime | None = now
    if is_complete and erasure.state == Erasure.State.RUNNING:
        due = now + CHECK_AFTER
        changed |= {"state": Erasure.State.CHECKING, "position": {}, "ended_at": now}
    elif is_complete:
        due = None
        changed |= {"state": Erasure.State.DONE, "position": {}, "number": "", "ended_at": now}
    Erasure.objects.release_claimed(erasure, due, **changed)
    erasure.state = changed.get("state", erasure.state)
    if not is_complete:
        enqueue(TASK, erasure.pk)


def _erase(erasure: Erasure, *, ends_at: float | None, now: datetime) -> bool:
    """Erase from where it stopped; return whether it came to the end."""
    number = _number(erasure.tenant_id, erasure.number)
    erased = Counter(erasure.erased)
    for table, row in _each(erasure.tenant, number, erasure.position):
        if row is None:  # the end of a batch
            erasure.erased = dict(erased)
            if ends_at is not None and time.monotonic() > ends_at:
                return False
            time.sleep(PAUSE_SECONDS)
        elif rows.changes(row, table, number, now=now):
            erased[table.name] += run_again_on_conflict(_erase_row, table, row.pk, number, now=now)
    erasure.erased = dict(erased)
    return True


def _each(tenant: Tenant, number: Number, position: dict[str, Any]) -> Iterator[tuple[Table, Any]]:
    """Yield the rows that may hold the number, from a position on, which it moves; None after each batch."""
    is_reached = "table" not in position
    for table in columns.tables():
        is_first, is_reached = position.get("table") == table.name, is_reached or position.get("table") == table.name
        if not is_reached:
            continue
        found, last = table.may_contain(table.rows(tenant), number.digits), position.get("pk") if is_first else None
        while batch := list((found if last is None else found.filter(pk__gt=last))[:BATCH]):
            yield from ((table, row) for row in batch)
            last = batch[-1].pk
            position.update(table=table.name, pk=last)
            yield table, None
            if len(batch) < BATCH:
                break


@transaction.atomic
def _erase_row(table: Table, pk: Any, number: Number, *, now: datetime) -> int:
    """Erase the number in a locked row, as it is now."""
    row = table.model._base_manager.select_for_update(of=("self",)).filter(pk=pk).first()
    changed = rows.changes(row, table, number, now=now) if row is not None else {}
    return table.model._base_manager.filter(pk=pk).update(**changed) if changed else 0


def _number(tenant_id: int, digits: str) -> Number:
    token_of = functools.partial(erased_numbers.token, tenant_id)
    return Number(digits, token=token_of(digits), token_of=token_of)
