"""Imports employees, virtual numbers and statuses from UIS."""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db import models, transaction

from connector_project.core import http_client
from connector_project.core.compiled_queries import CompiledSelect, CompiledUpdate
from connector_project.core.placeholders import Placeholders
from connector_project.core.task_queue import enqueue
from telephony import client_factory, task_names
from telephony.staff import number_attribution
from telephony.uis.client import UisClient
from telephony.uis.data_api import Listing
from telephony.uis.fields import Row
from telephony.uis.numbers import Campaign, UisNumber
from telephony.uis.types import Status, UisEmployee
from tenants import remote_lists
from tenants.access_errors import SUSPENDING
from tenants.models import Employee, RemoteList, Tenant, UisConnection, UisStatus, VirtualNumber
from tenants.remote_lists import Reading

# Accounts without statuses use calls_available.
NO_STATUSES = ("method_not_found", "forbidden", "method_component_disabled", "component_disabled")
Kind = RemoteList.Kind
KINDS = (Kind.EMPLOYEES, Kind.NUMBERS, Kind.STATUSES)
RowT = TypeVar("RowT", bound=Row)
ModelT = TypeVar("ModelT", bound=models.Model)


@dataclass(frozen=True)
class UisStaff:
    """Staff data from UIS; None where the key has no access."""

    employees: Listing[UisEmployee] | None
    numbers: Listing[UisNumber] | None
    statuses: Listing[Status] | None
    campaigns: Listing[Campaign] | None = None  # also where no number belongs to one, or UIS did not answer
    denied: tuple[http_client.AccessDenied, ...] = ()  # the rights that are missing for them


def enqueue_linking(*tenant_ids: int) -> None:
    """Enqueue what follows the import of these clients' staff. Needs a transaction."""
    enqueue(task_names.LINK_USERS, *tenant_ids)


def sync(tenant: Tenant, *, then: Callable[[int], object] = enqueue_linking, now: datetime) -> None:
    """Import the staff, and in the same transaction enqueue its linking. A missing right stops only its own list.

    Raises RemoteError; our data is unchanged then, except where only the right for the employees is missing.
    """
    staff = fetch(client_factory.uis_client(tenant.uis))
    with transaction.atomic():
        save(tenant, staff, now=now)
        then(tenant.pk)
    record_denials(tenant, staff, now=now)


def fetch(client: UisClient) -> UisStaff:
    denied: list[http_client.AccessDenied] = []
    employees = _unless_denied(client.employees, denied)
    numbers = _unless_denied(client.virtual_numbers, denied)  # it has a permission of its own
    statuses = _unless_refused(client.statuses, *NO_STATUSES)
    campaigns = _unless_denied(functools.partial(number_attribution.fetch_campaigns, client, numbers), denied)
    return UisStaff(employees, numbers, statuses, campaigns, tuple(denied))


def record_denials(tenant: Tenant, staff: UisStaff, *, now: datetime) -> None:
    """Record the rights that were missing. Raises AccessDenied if the one for the employees was."""
    for denied in staff.denied:
        tenant.uis.record_denial(denied, now=now)
    if staff.employees is None:
        raise staff.denied[0]


@transaction.atomic
def accept_lists(tenant: Tenant, now: datetime) -> None:
    """Believe the next answers of lists that are much shorter, and ask for them."""
    remote_lists.accept(tenant, now=now)
    enqueue(task_names.SYNC_EMPLOYEES, tenant.pk)


def enqueue_readings(*, now: datetime) -> None:
    """Read again the lists that lacked rows some minutes ago."""
    accessible = Tenant.objects.live().filter(uis__denied_at=None)
    remote_lists.enqueue_readings(task_names.SYNC_EMPLOYEES, KINDS, accessible, now=now)


@transaction.atomic
def save(tenant: Tenant, staff: UisStaff, *, now: datetime) -> None:
    """Make our lists equal to UIS's answers, requested at `now`; of two answers the one requested last is kept.

    Employees who left stay as rows: their calls refer to them.
    """
    # Every transaction locks the tenant first and then its rows by primary key: no two wait for each other.
    Tenant.objects.lock_row(tenant.pk)
    stored = _load(tenant)
    gone = remote_lists.find_gone(tenant, _readings(stored, staff), asked_at=now)
    if gone is None:
        return
    if staff.employees is not None:
        _save_employees(tenant, stored.employees, staff.employees.rows, gone=gone[Kind.EMPLOYEES])
    if staff.numbers is not None:
        _save_numbers(tenant, stored.numbers, staff, gone=gone[Kind.NUMBERS], now=now)
    if staff.statuses is not None:
        _save_statuses(tenant, stored.statuses, staff.statuses.rows, gone=gone[Kind.STATUSES])
    names = ("has_statuses",) if staff.employees is None else ("has_statuses", "synced_at")
    _read(names).run(tenant=tenant.pk, has_statuses=staff.statuses is not None, synced_at=now)


@functools.cache
def _read(names: tuple[str, ...]) -> CompiledUpdate:
    """Return what writes when the lists of a `tenant` were read, or that one could not be."""

    def build(given: Placeholders) -> Any:
        values = {name: given.value_of(UisConnection._meta.get_field(name)) for name in names}
        return UisConnection.objects.filter(tenant=given.integer("tenant")), values

    return CompiledUpdate(build)


@dataclass(frozen=True)
class _Stored:
    """Our rows by UIS's key."""

    employees: dict[str, Employee]
    numbers: dict[str, VirtualNumber]
    statuses: dict[str, UisStatus]


_NUMBERS: CompiledSelect[VirtualNumber] = CompiledSelect(
    lambda given: VirtualNumber.objects.filter(tenant=given.integer("tenant")).order_by()
)
_STATUSES: CompiledSelect[UisStatus] = CompiledSelect(
    lambda given: UisStatus.objects.filter(tenant=given.integer("tenant")).order_by()
)


def _load(tenant: Tenant) -> _Stored:
    return _Stored(
        employees={str(row.uis_id): row for row in Employee.objects.lock_all(tenant)},
        numbers={row.number: row for row in _NUMBERS.fetch(tenant=tenant.pk)},
        statuses={str(row.uis_id): row for row in _STATUSES.fetch(tenant=tenant.pk)},
    )


def _readings(stored: _Stored, staff: UisStaff) -> dict[RemoteList.Kind, tuple[list[str], Reading]]:
    """Return the keys that count as present in our rows, and UIS's answer, for each list that the key may see."""
    found = dict[RemoteList.Kind, tuple[list[str], Reading]]()
    if staff.employees is not None:
        present = [key for key, row in stored.employees.items() if not row.is_dismissed]
        uis_ids = [row.uis_id for row in staff.employees.rows]
        found[Kind.EMPLOYEES] = (present, Reading.of(uis_ids, is_complete=staff.employees.is_complete))
    if staff.numbers is not None:
        active = [key for key, row in stored.numbers.items() if row.is_active]
        numbers = [row.number for row in staff.numbers.rows]
        found[Kind.NUMBERS] = (active, Reading.of(numbers, is_complete=staff.numbers.is_complete))
    if staff.statuses is not None:
        uis_ids = [row.uis_id for row in staff.statuses.rows]
        found[Kind.STATUSES] = (list(stored.statuses), Reading.of(uis_ids, is_complete=staff.statuses.is_complete))
    return found


def _save_employees(
    tenant: Tenant, stored: Mapping[str, Employee], people: Iterable[UisEmployee], *, gone: Collection[str]
) -> None:
    new = []
    for person in people:
        row = stored.get(str(person.uis_id)) or Employee(tenant=tenant, uis_id=person.uis_id)
        new += _store(row, _employee_fields(row, person))
    # A person may add the same rows without the lock.
    Employee.objects.bulk_create(new, ignore_conflicts=True)
    if gone:
        Employee.objects.filter(pk__in=[stored[key].pk for key in gone]).update(is_dismissed=True)


def _employee_fields(row: Employee, person: UisEmployee) -> dict[str, object]:
    """Return only the fields that come from UIS: the link may be changed manually at the same time."""
    fields: dict[str, object] = {
        "full_name": person.full_name[:250],
        "email": person.email[:250],
        "extension": person.extension[:20],
        "numbers": list(person.numbers),
        "recording_mode": person.recording_mode[:5],
        "has_voice_mail": person.has_voice_mail,
        "is_dismissed": False,
    }
    if not row.uis_status:  # The first status is not a change; later ones are found by polling.
        fields["uis_status"] = fields["synced_status"] = person.status[:40]
    return fields


def _save_numbers(
    tenant: Tenant, stored: Mapping[str, VirtualNumber], staff: UisStaff, *, gone: Collection[str], now: datetime
) -> None:
    new = []
    for number in staff.numbers.rows if staff.numbers else ():
        row = stored.get(number.number) or VirtualNumber(tenant=tenant, number=number.number)
        known = number_attribution.of_number(number, staff.campaigns, stored=row.attribution)
        at = {} if known == row.attribution else {"attribution_at": now}
        fields = {"name": number.name[:250], "is_active": number.is_active, "attribution": known, **at}
        new += _store(row, fields)
    VirtualNumber.objects.bulk_create(new, ignore_conflicts=True)
    if gone:
        VirtualNumber.objects.filter(pk__in=[stored[key].pk for key in gone]).update(is_active=False)


def _save_statuses(
    tenant: Tenant, stored: Mapping[str, UisStatus], statuses: Iterable[Status], *, gone: Collection[str]
) -> None:
    new = []
    for status in statuses:
        row = stored.get(str(status.uis_id)) or UisStatus(tenant=tenant, uis_id=status.uis_id)
        new += _store(row, {"mnemonic": status.mnemonic[:40], "name": status.name[:200]})
    UisStatus.objects.bulk_create(new, ignore_conflicts=True)
    if gone:
        UisStatus.objects.filter(pk__in=[stored[key].pk for key in gone]).delete()


def _store(row: ModelT, values: Mapping[str, object]) -> list[ModelT]:
    """Set the values and save those that changed; return the row if it is new and still to be inserted."""
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, values[name])
    if row.pk is None:
        return [row]
    if changed:
        row.save(update_fields=changed)
    return []


def _unless_denied(
    fetch: Callable[[], Listing[RowT] | None], denied: list[http_client.AccessDenied]
) -> Listing[RowT] | None:
    """Return None, and add why, if the right for this list is missing. Raises RemoteError."""
    try:
        return fetch()
    except http_client.AccessDenied as exc:
        if exc.subject in SUSPENDING:
            raise
        denied.append(exc)
        return None


def _unless_refused(fetch: Callable[[], Listing[RowT]], *codes: str) -> Listing[RowT] | None:
    """Return None if UIS refuses the request with one of these codes."""
    try:
        return fetch()
    except http_client.RemoteError as exc:
        if exc.code not in codes:
            raise
        return None
