"""Imports employees, virtual numbers and statuses from UIS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db import transaction

from connector_project.core import http_client
from connector_project.core.task_queue import enqueue
from telephony import client_factory, task_names
from telephony.uis.client import UisClient
from telephony.uis.types import Status, UisEmployee, UisNumber
from tenants.models import Employee, Tenant, UisConnection, UisStatus, VirtualNumber

# Accounts without statuses use calls_available.
NO_STATUSES = ("method_not_found", "forbidden", "method_component_disabled", "component_disabled")
Row = TypeVar("Row")


@dataclass(frozen=True)
class UisStaff:
    """Staff data from UIS; None where the key has no access."""

    employees: Sequence[UisEmployee]
    numbers: Sequence[UisNumber] | None
    statuses: Sequence[Status] | None


def sync(tenant: Tenant, *, now: datetime) -> None:
    """Import the staff and enqueue its linking. Raises RemoteError; our data is unchanged then."""
    staff = fetch(client_factory.uis_client(tenant.uis))
    with transaction.atomic():
        save(tenant, staff, now=now)
        enqueue(task_names.LINK_USERS, tenant.pk)


def fetch(client: UisClient) -> UisStaff:
    return UisStaff(
        employees=client.employees(),
        numbers=_unless_refused(client.virtual_numbers, "forbidden"),  # it has a permission of its own
        statuses=_unless_refused(client.statuses, *NO_STATUSES),
    )


@transaction.atomic
def save(tenant: Tenant, staff: UisStaff, *, now: datetime) -> None:
    """Make our lists equal to UIS's. Employees who left stay as rows: their calls refer to them."""
    known = {person.uis_id: person for person in Employee.objects.filter(tenant=tenant)}
    for person in staff.employees:
        row = known.pop(person.uis_id, None) or Employee(tenant=tenant, uis_id=person.uis_id)
        _update(row, person)
    Employee.objects.filter(pk__in=[gone.pk for gone in known.values()]).update(is_dismissed=True)
    if staff.numbers is not None:
        _save_numbers(tenant, staff.numbers)
    if staff.statuses is not None:
        _save_statuses(tenant, staff.statuses)
    UisConnection.objects.filter(tenant=tenant).update(synced_at=now, has_statuses=staff.statuses is not None)


def _update(row: Employee, person: UisEmployee) -> None:
    """Save only the fields that come from UIS: the link may be changed manually at the same time."""
    row.full_name, row.email, row.extension = person.full_name[:250], person.email[:250], person.extension[:20]
    row.numbers, row.recording_mode = list(person.numbers), person.recording_mode[:5]
    row.is_dismissed = False
    changed = ["full_name", "email", "extension", "numbers", "recording_mode", "is_dismissed"]
    if not row.uis_status:  # The first status is not a change; later ones are found by polling.
        row.uis_status = row.synced_status = person.status[:40]
        changed += ["uis_status", "synced_status"]
    row.save(update_fields=changed if row.pk else None)


def _save_numbers(tenant: Tenant, numbers: Sequence[UisNumber]) -> None:
    VirtualNumber.objects.filter(tenant=tenant).exclude(number__in=[number.number for number in numbers]).update(
        is_active=False
    )
    for number in numbers:
        VirtualNumber.objects.update_or_create(
            tenant=tenant, number=number.number, defaults={"name": number.name[:250], "is_active": number.is_active}
        )


def _save_statuses(tenant: Tenant, statuses: Sequence[Status]) -> None:
    UisStatus.objects.filter(tenant=tenant).exclude(uis_id__in=[status.uis_id for status in statuses]).delete()
    for status in statuses:
        UisStatus.objects.update_or_create(
            tenant=tenant, uis_id=status.uis_id, defaults={"mnemonic": status.mnemonic[:40], "name": status.name[:200]}
        )


def _unless_refused(fetch: Callable[[], list[Row]], *codes: str) -> list[Row] | None:
    """Return None if UIS refuses the request with one of these codes."""
    try:
        return fetch()
    except http_client.RemoteError as exc:
        if exc.code not in codes:
            raise
        return None
