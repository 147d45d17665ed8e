"""Bring the client's people, numbers and statuses from UIS."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from connector_project import remote
from connector_project.queue import enqueue
from telephony import clients, route
from telephony.uis.client import UisClient
from telephony.uis.types import OwnNumber, Person, Status
from tenants.models import Employee, Tenant, UisConnection, UisStatus, VirtualNumber

NO_STATUSES = {"method_not_found", "forbidden", "method_component_disabled", "component_disabled"}


@dataclass(frozen=True)
class Staff:
    """Everything UIS says of people and numbers; None where the key may not see it."""

    people: Sequence[Person]
    numbers: Sequence[OwnNumber] | None
    statuses: Sequence[Status] | None


def sync(tenant: Tenant, *, now: datetime) -> int:
    """Bring the staff list and hand it on to be linked; return how many employees there are.

    Raises the errors of connector_project.remote; what was known stays as it was then.
    """
    staff = fetch(clients.uis_client(tenant.uis))
    with transaction.atomic():
        save(tenant, staff, now=now)
        enqueue(route.LINK, tenant.pk)
    return len(staff.people)


def fetch(client: UisClient) -> Staff:
    """Ask UIS for people, numbers and statuses."""
    return Staff(people=client.employees(), numbers=_numbers(client), statuses=_statuses(client))


@transaction.atomic
def save(tenant: Tenant, staff: Staff, *, now: datetime) -> None:
    """Make our lists equal to UIS's. People who left stay as rows: their calls name them."""
    known = {person.uis_id: person for person in Employee.objects.filter(tenant=tenant)}
    for person in staff.people:
        row = known.pop(person.uis_id, None) or Employee(tenant=tenant, uis_id=person.uis_id)
        _take_over(row, person)
    Employee.objects.filter(pk__in=[gone.pk for gone in known.values()]).update(is_dismissed=True)
    if staff.numbers is not None:
        _save_numbers(tenant, staff.numbers)
    if staff.statuses is not None:
        _save_statuses(tenant, staff.statuses)
    UisConnection.objects.filter(tenant=tenant).update(synced_at=now, has_statuses=staff.statuses is not None)


def _take_over(row: Employee, person: Person) -> None:
    """Write what UIS says of a person, and nothing else: his link may be changed by hand at this very moment."""
    row.full_name, row.email, row.extension = person.full_name[:250], person.email[:250], person.extension[:20]
    row.numbers, row.recorded_directions = list(person.numbers), person.recorded_directions[:5]
    row.is_dismissed = False
    told = ["full_name", "email", "extension", "numbers", "recorded_directions", "is_dismissed"]
    if not row.uis_status:  # From then on statuses are followed by polling; a first sight is no change.
        row.uis_status = row.handed_status = person.status[:40]
        told += ["uis_status", "handed_status"]
    row.save(update_fields=told if row.pk else None)


def _save_numbers(tenant: Tenant, numbers: Sequence[OwnNumber]) -> None:
    VirtualNumber.objects.filter(tenant=tenant).exclude(number__in=[said.number for said in numbers]).update(
        is_active=False
    )
    for said in numbers:
        VirtualNumber.objects.update_or_create(
            tenant=tenant, number=said.number, defaults={"name": said.name[:250], "is_active": said.is_active}
        )


def _save_statuses(tenant: Tenant, statuses: Sequence[Status]) -> None:
    UisStatus.objects.filter(tenant=tenant).exclude(uis_id__in=[said.uis_id for said in statuses]).delete()
    for said in statuses:
        UisStatus.objects.update_or_create(
            tenant=tenant, uis_id=said.uis_id, defaults={"mnemonic": said.mnemonic[:40], "name": said.name[:200]}
        )


def _numbers(client: UisClient) -> list[OwnNumber] | None:
    """Numbers are a right of their own: without it the rest goes on."""
    try:
        return client.virtual_numbers()
    except remote.AccessDenied as exc:
        if exc.code != "forbidden":
            raise
        return None


def _statuses(client: UisClient) -> list[Status] | None:
    """Accounts without statuses fall back to calls_available."""
    try:
        return client.statuses()
    except remote.RemoteError as exc:
        if exc.code not in NO_STATUSES:
            raise
        return None
