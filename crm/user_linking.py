"""Links CRM users to employees by manually entered extensions and by e-mail; ambiguous matches are not linked."""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import TypeVar

from django.db import transaction

from connector_project.core import phone_numbers
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.http_client import AccessDenied
from connector_project.core.task_queue import enqueue
from crm import client_factory, integration_module, module_lease, module_state, registered_module
from crm.retailcrm.types import User, UserList
from telephony import task_names
from telephony.models import Call
from tenants import remote_lists
from tenants.access_errors import SUSPENDING
from tenants.models import CrmConnection, CrmUser, Employee, RemoteList, Tenant
from tenants.remote_lists import Reading

T = TypeVar("T")
LinkedBy = Employee.LinkedBy
Kind = RemoteList.Kind
# Manual decisions: employees who are never linked automatically.
MANUAL_LINKS = {LinkedBy.MANUAL, LinkedBy.NOT_NEEDED}
USER_FIELDS = ("name", "email", "phone", "is_active")  # those that come from the CRM
_values = attrgetter(*USER_FIELDS)


@dataclass(frozen=True)
class Linked:
    """Numbers of employees, CRM users and links."""

    employees: int = 0
    crm_users: int = 0
    linked: int = 0
    unlinked: int = 0


def link(tenant: Tenant, *, now: datetime, is_forced: bool = False, is_patient: bool = False) -> Linked:
    """Link employees and register their extensions; forced, even if nothing changed or the module is switched off.

    While another worker does the same for this client, it is asked to do it once more; a patient caller waits for its
    turn. A missing right stops only what needs it. Raises RemoteError, in that case at the end.
    """
    client = client_factory.crm_client(tenant.crm)
    with module_lease.exclusive(tenant, now=now, is_patient=is_patient) as is_mine:
        if not is_mine:
            return Linked()
        users, no_users = _unless_denied(client.users)
        if no_users and not registered_module.is_known_account(tenant.crm):
            raise no_users
        if users is not None and module_state.is_other_account(tenant, client, users):
            tenant.crm.forget_account()
        if tenant.crm.registered_at is None:
            Call.objects.forget_crm_users(tenant)
        state, no_module = _unless_denied(functools.partial(integration_module.fetch, tenant, client))
        typed = None if no_module else integration_module.manual_codes(tenant, state)
        linked = save(tenant, users, typed, now=now) if users is not None else Linked()
        if not no_module:
            integration_module.send(tenant, client, state, now=now, is_forced=is_forced)
    denials = [denied for denied in (no_users, no_module) if denied]
    for denied in denials:
        tenant.crm.record_denial(denied, now=now)
    if denials:
        raise denials[0]
    return linked


def _unless_denied(fetch: Callable[[], T]) -> tuple[T | None, AccessDenied | None]:
    """Return what the CRM answers, or that a right for it is missing. Raises RemoteError."""
    try:
        return fetch(), None
    except AccessDenied as exc:
        if exc.subject in SUSPENDING:
            raise
        return None, exc


_USERS: CompiledSelect[CrmUser] = CompiledSelect(
    lambda given: CrmUser.objects.filter(tenant=given.integer("tenant")).order_by()
)
_CLIENT_ID: CompiledSelect[tuple[str]] = CompiledSelect(
    lambda given: CrmConnection.objects.filter(pk=given.integer("connection")).values_list("client_id")
)


@transaction.atomic
def save(tenant: Tenant, users: UserList, typed: Sequence[tuple[int, str]] | None, *, now: datetime) -> Linked:
    """Store the CRM's users, requested at `now`, and the links that follow from both systems.

    `typed` is None if nobody knows which extensions were entered: then nobody is linked, as these go first.
    """
    # The tenant first, then its employees by primary key: the order of every transaction.
    Tenant.objects.lock_row(tenant.pk)
    if not _is_same(tenant):
        return Linked()
    active = [user for user in sync_crm_users(tenant, users, now=now) if user.is_active]
    staff = Employee.objects.lock_all(tenant)
    _release_departed(staff, {user.crm_id for user in active})
    _restore_returned(staff, {user.crm_id for user in active})
    for employee, user_id, linked_by in find_links(staff, active, typed) if typed is not None else ():
        employee.link_automatically(user_id, linked_by)
    present = [employee for employee in staff if not employee.is_dismissed]
    linked = sum(1 for employee in present if employee.crm_user_id)
    not_needed = sum(1 for employee in present if employee.linked_by == LinkedBy.NOT_NEEDED)
    return Linked(len(present), len(active), linked, unlinked=len(present) - linked - not_needed)


@transaction.atomic
def enqueue_due(*, now: datetime) -> None:
    """Link again where users were absent some minutes ago, and where a worker died before it had finished."""
    accessible = Tenant.objects.live().filter(crm__denied_at=None)
    remote_lists.enqueue_readings(task_names.LINK_USERS, [Kind.CRM_USERS], accessible, now=now)
    left = CrmConnection.objects.filter(module_lease.is_left(now=now))
    unfinished = list(accessible.filter(crm__in=left).values_list("pk", flat=True))
    left.update(**module_lease.UNCLAIMED)
    for tenant_id in unfinished:
        enqueue(task_names.LINK_USERS, tenant_id)


def _is_same(tenant: Tenant) -> bool:
    """Return whether the account is still the same: a changed account or a disconnect changes the clientId."""
    return _CLIENT_ID.get(connection=tenant.crm.pk) == (tenant.crm.client_id,)


def sync_crm_users(tenant: Tenant, users: UserList, *, now: datetime) -> list[CrmUser]:
    """Store the CRM's users, dismissed ones included, and return all; users that are surely gone are deleted."""
    rows = {user.user_id: _row(tenant, user) for user in users.users}
    known = {row.crm_id: row for row in _USERS.fetch(tenant=tenant.pk)}
    reading = Reading.of(rows, is_complete=users.is_complete)
    gone = remote_lists.find_gone(tenant, {Kind.CRM_USERS: ([str(key) for key in known], reading)}, asked_at=now)
    if gone is None:
        return list(known.values())
    new = [row for crm_id, row in rows.items() if crm_id not in known or _values(row) != _values(known[crm_id])]
    removed = [known[int(key)].pk for key in gone[Kind.CRM_USERS]]
    if not (new or removed):
        return list(known.values())
    CrmUser.objects.bulk_create(
        new, update_conflicts=True, unique_fields=["tenant", "crm_id"], update_fields=USER_FIELDS
    )
    CrmUser.objects.filter(pk__in=removed).delete()
    return _USERS.fetch(tenant=tenant.pk)


def _row(tenant: Tenant, user: User) -> CrmUser:
    phone = phone_numbers.from_person(user.phone, region=tenant.uis.region)
    return CrmUser(
        tenant=tenant,
        crm_id=user.user_id,
        name=user.name[:250],
        email=user.email[:250],
        phone=phone.digits if phone else "",
        is_active=user.is_active,
    )


def _release_departed(staff: Iterable[Employee], active: Collection[int]) -> None:
    """Unlink employees who left UIS or the CRM; their user may be given to somebody else. Keep the old link."""
    for employee in staff:
        if employee.crm_user_id and (employee.is_dismissed or employee.crm_user_id not in active):
            employee.release()


def _restore_returned(staff: Iterable[Employee], active: Collection[int]) -> None:
    """Give a link that people made back to an employee who came back, or whose user did, if the user is still free.

    One by an extension they entered, too: our list in the CRM lacks it since then. One by hand replaces any other.
    """
    staff = list(staff)
    taken = {employee.crm_user_id for employee in staff}
    for employee in staff:
        user_id, linked_by = employee.previous_crm_user_id, employee.previous_linked_by
        is_open = linked_by == LinkedBy.MANUAL or (linked_by == LinkedBy.EXTENSION and not employee.crm_user_id)
        is_open &= not employee.is_dismissed and employee.linked_by not in MANUAL_LINKS
        if is_open and user_id in active and user_id not in taken:
            employee.set_link(user_id, LinkedBy(linked_by))
            taken.add(user_id)


def find_links(
    staff: Iterable[Employee], users: Iterable[CrmUser], typed: Iterable[tuple[int, str]]
) -> list[tuple[Employee, int, Employee.LinkedBy]]:
    """Return new links: by manually entered extension, then by e-mail; only if there is exactly one candidate."""
    open_staff = [one for one in staff if not (one.crm_user_id or one.is_dismissed or one.linked_by in MANUAL_LINKS)]
    linked_ids = {employee.crm_user_id for employee in staff if employee.crm_user_id}
    free = {user.crm_id: user for user in users if user.crm_id not in linked_ids}
    by_code = _pairs({(code, user_id) for user_id, code in typed if user_id in free})
    by_email = _pairs({(user.email, user.crm_id) for user in free.values()})
    found: dict[int, tuple[Employee, int, Employee.LinkedBy]] = {}  # by the employee's UIS ID
    by_field = ((by_code, LinkedBy.EXTENSION, "extension"), (by_email, LinkedBy.EMAIL, "email"))
    for candidates, linked_by, field in by_field:
        values = Counter(getattr(employee, field) for employee in staff if not employee.is_dismissed)
        for employee in open_staff:
            value = getattr(employee, field)
            user_id = candidates.get(value)
            if user_id and values[value] == 1 and employee.uis_id not in found and user_id in free:
                found[employee.uis_id] = (employee, user_id, linked_by)
                del free[user_id]
    return list(found.values())


def _pairs(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the pairs that are unambiguous in both directions."""
    items = [(key, user_id) for key, user_id in items if key]
    keys, ids = Counter(key for key, _ in items), Counter(user_id for _, user_id in items)
    return {key: user_id for key, user_id in items if keys[key] == 1 and ids[user_id] == 1}
