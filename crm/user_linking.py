"""Links CRM users to employees by manually entered extensions and by e-mail; ambiguous matches are not linked."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from django.db import transaction

from connector_project.core import phone_numbers
from crm import client_factory, integration_module
from crm.retailcrm.types import User
from tenants.models import CrmConnection, CrmUser, Employee, Tenant, generate_token

LinkedBy = Employee.LinkedBy
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


def link(tenant: Tenant, *, now: datetime, is_forced: bool = False) -> Linked:
    """Link employees and register their extensions; forced, even if nothing changed or the module is switched off.

    Raises RemoteError.
    """
    client = client_factory.crm_client(tenant.crm)
    users = client.users()
    if integration_module.is_other_account(tenant, client):
        reset_links(tenant)
    typed = integration_module.manual_codes(tenant, client)
    linked = save(tenant, users, typed)
    integration_module.register(tenant, client, typed=typed, now=now, is_forced=is_forced)
    return linked


@transaction.atomic
def save(tenant: Tenant, users: Sequence[User], typed: Sequence[tuple[int, str]]) -> Linked:
    """Store the CRM's users and the links that follow from both systems."""
    if not _is_same(tenant):
        return Linked()
    sync_crm_users(tenant, users)
    active = [user for user in users if user.is_active]
    staff = list(Employee.objects.select_for_update().filter(tenant=tenant))
    _release_departed(staff, {user.user_id for user in active})
    for employee, user_id, linked_by in find_links(staff, active, typed):
        employee.set_link(user_id, linked_by)
    present = [employee for employee in staff if not employee.is_dismissed]
    linked = sum(1 for employee in present if employee.crm_user_id)
    not_needed = sum(1 for employee in present if employee.linked_by == LinkedBy.NOT_NEEDED)
    return Linked(len(present), len(active), linked, unlinked=len(present) - linked - not_needed)


def _is_same(tenant: Tenant) -> bool:
    """Return whether the account is still the same: a changed account or a disconnect changes the clientId."""
    return CrmConnection.objects.select_for_update().get(pk=tenant.crm.pk).client_id == tenant.crm.client_id


@transaction.atomic
def reset_links(tenant: Tenant) -> None:
    """Delete all links after a change of account: the same IDs are other users there.

    The previous account still has our module, so a new clientId locks it out; the new one is registered from scratch.
    """
    staff = Employee.objects.filter(tenant=tenant)
    staff.filter(crm_user_id__isnull=False).update(crm_user_id=None, linked_by=LinkedBy.NOT_LINKED)
    staff.update(previous_crm_user_id=None)
    CrmUser.objects.filter(tenant=tenant).delete()
    connection = tenant.crm
    connection.client_id, connection.registered_module = generate_token(), {}
    connection.registered_at, connection.stores = None, []
    connection.save(update_fields=["client_id", "registered_module", "registered_at", "stores"])


def sync_crm_users(tenant: Tenant, users: Iterable[User]) -> None:
    """Make our list of CRM users equal to the CRM's, dismissed users included."""
    rows = {user.user_id: _row(tenant, user) for user in users}
    known = {row.crm_id: row for row in CrmUser.objects.filter(tenant=tenant)}
    new = [row for crm_id, row in rows.items() if crm_id not in known or _values(row) != _values(known[crm_id])]
    CrmUser.objects.bulk_create(
        new, update_conflicts=True, unique_fields=["tenant", "crm_id"], update_fields=USER_FIELDS
    )
    if removed := [row.pk for crm_id, row in known.items() if crm_id not in rows]:
        CrmUser.objects.filter(pk__in=removed).delete()


def _row(tenant: Tenant, user: User) -> CrmUser:
    phone = phone_numbers.normalise(user.phone, is_russian=tenant.uis.is_russian)
    return CrmUser(
        tenant=tenant,
        crm_id=user.user_id,
        name=user.name[:250],
        email=user.email[:250],
        phone=phone[:32],
        is_active=user.is_active,
    )


def _release_departed(staff: Iterable[Employee], active: Collection[int]) -> None:
    """Unlink employees who left UIS or the CRM; their user may be given to somebody else. Keep the old link."""
    for employee in staff:
        if employee.crm_user_id and (employee.is_dismissed or employee.crm_user_id not in active):
            employee.set_link(None, LinkedBy.NOT_LINKED, former=employee.crm_user_id)


def find_links(
    staff: Iterable[Employee], users: Iterable[User], typed: Iterable[tuple[int, str]]
) -> list[tuple[Employee, int, Employee.LinkedBy]]:
    """Return new links: by manually entered extension, then by e-mail; only if there is exactly one candidate."""
    open_staff = [one for one in staff if not (one.crm_user_id or one.is_dismissed or one.linked_by in MANUAL_LINKS)]
    linked_ids = {employee.crm_user_id for employee in staff if employee.crm_user_id}
    free = {user.user_id: user for user in users if user.user_id not in linked_ids}
    by_code = _pairs({(code, user_id) for user_id, code in typed if user_id in free})
    by_email = _pairs({(user.email, user.user_id) for user in free.values()})
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
