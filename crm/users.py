"""Link CRM users to employees, by what people typed and by e-mail; never guess between two."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from connector_project import phones
from crm import clients, module
from crm.retailcrm.types import User
from tenants.models import CrmConnection, CrmUser, Employee, Tenant, new_hook

LinkedBy = Employee.LinkedBy


# Where a person has decided, nothing is linked by itself: not who works without the CRM, nor whom somebody unbound.
DECIDED = {LinkedBy.HAND, LinkedBy.NOT_NEEDED}


@dataclass(frozen=True)
class Linked:
    """How many people there are, and how many of them we know on both sides."""

    employees: int
    crm_users: int
    linked: int
    not_needed: int = 0

    @property
    def unlinked(self) -> int:
        return self.employees - self.linked - self.not_needed


def link(tenant: Tenant, *, now: datetime, is_forced: bool = False) -> Linked:
    """Link people and tell the module of every extension, forced even where nothing changed or it is switched off.

    Raises the errors of connector_project.remote.
    """
    client = clients.crm_client(tenant.crm)
    users = client.users()
    if module.is_elsewhere(tenant, client):
        forget(tenant)
    typed = module.typed_codes(tenant, client)
    linked = save(tenant, users, typed)
    module.register(tenant, client, typed=typed, now=now, is_forced=is_forced)
    return linked


@transaction.atomic
def save(tenant: Tenant, users: Sequence[User], typed: Sequence[tuple[int, str]]) -> Linked:
    """Write who there is in the CRM, and the links that follow from what both sides say."""
    if not _is_same(tenant):
        return Linked(employees=0, crm_users=0, linked=0)
    keep(tenant, users)
    here = [user for user in users if user.is_active]
    staff = list(Employee.objects.select_for_update().filter(tenant=tenant))
    _free(staff, {user.user_id for user in here})
    for person, user_id, how in find_links(staff, here, typed):
        _set(person, user_id, how)
    present = [person for person in staff if not person.is_dismissed]
    return Linked(
        employees=len(present),
        crm_users=len(here),
        linked=sum(1 for person in present if person.crm_user_id),
        not_needed=sum(1 for person in present if person.linked_by == LinkedBy.NOT_NEEDED),
    )


def _is_same(tenant: Tenant) -> bool:
    """Say whether the account is the one that was asked: the clientId changes with it, and when a client leaves."""
    return CrmConnection.objects.select_for_update().get(pk=tenant.crm.pk).client_id == tenant.crm.client_id


@transaction.atomic
def forget(tenant: Tenant) -> None:
    """Forget who is whom, for another account begins: there the same ids are other people's.

    The account before keeps our module, so its way in is shut; here the module is registered as if it never was.
    """
    staff = Employee.objects.filter(tenant=tenant)
    staff.filter(crm_user_id__isnull=False).update(crm_user_id=None, linked_by=LinkedBy.NOBODY)
    staff.update(former_user_id=None)
    CrmUser.objects.filter(tenant=tenant).delete()
    fresh: dict[str, Any] = {"client_id": new_hook(), "sent_module": {}, "registered_at": None, "stores": []}
    CrmConnection.objects.filter(tenant=tenant).update(**fresh)
    tenant.crm.refresh_from_db(fields=list(fresh))


def keep(tenant: Tenant, users: Iterable[User]) -> None:
    """Make our list of the CRM's users equal to the CRM's: dismissed users too, and nobody it no longer names."""
    said = {user.user_id: _row(tenant, user) for user in users}
    known = {row.crm_id: row for row in CrmUser.objects.filter(tenant=tenant)}
    new = [row for crm_id, row in said.items() if crm_id not in known or _words(row) != _words(known[crm_id])]
    CrmUser.objects.bulk_create(
        new,
        update_conflicts=True,
        unique_fields=["tenant", "crm_id"],
        update_fields=["name", "email", "phone", "is_active"],
    )
    if gone := [row.pk for crm_id, row in known.items() if crm_id not in said]:
        CrmUser.objects.filter(pk__in=gone).delete()


def _row(tenant: Tenant, user: User) -> CrmUser:
    phone = phones.digits(user.phone, is_russian=tenant.uis.is_russian)
    return CrmUser(
        tenant=tenant,
        crm_id=user.user_id,
        name=user.name[:250],
        email=user.email[:250],
        phone=phone[:32],
        is_active=user.is_active,
    )


def _words(row: CrmUser) -> tuple[str, str, str, bool]:
    return row.name, row.email, row.phone, row.is_active


def _free(staff: Iterable[Employee], active: Collection[int]) -> None:
    """Who left either side is nobody's employee any more; his user may be another's now. He may come back, though."""
    for person in staff:
        if person.crm_user_id and (person.is_dismissed or person.crm_user_id not in active):
            _set(person, None, LinkedBy.NOBODY, former=person.crm_user_id)


def find_links(
    staff: Iterable[Employee], users: Iterable[User], typed: Iterable[tuple[int, str]]
) -> list[tuple[Employee, int, Employee.LinkedBy]]:
    """Return the new links: by an extension a person typed into the CRM, then by e-mail; one candidate or none."""
    open_staff = [person for person in staff if _is_open(person)]
    taken = {person.crm_user_id for person in staff if person.crm_user_id}
    free = {user.user_id: user for user in users if user.user_id not in taken}
    by_code = _pairs({(code, user_id) for user_id, code in typed if user_id in free})
    by_email = _pairs({(user.email, user.user_id) for user in free.values()})
    found: list[tuple[Employee, int, Employee.LinkedBy]] = []
    for wanted, how, field in ((by_code, LinkedBy.EXTENSION, "extension"), (by_email, LinkedBy.EMAIL, "email")):
        values = Counter(getattr(person, field) for person in staff if not person.is_dismissed)
        for person in open_staff:
            user_id = wanted.get(getattr(person, field))
            if user_id and values[getattr(person, field)] == 1 and not _is_taken(found, person, user_id):
                found.append((person, user_id, how))
    return found


def _pairs(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return what is unambiguous both ways."""
    items = [(word, user_id) for word, user_id in items if word]
    words, ids = Counter(word for word, _ in items), Counter(user_id for _, user_id in items)
    return {word: user_id for word, user_id in items if words[word] == 1 and ids[user_id] == 1}


def _is_taken(found: Iterable[tuple[Employee, int, object]], person: Employee, user_id: int) -> bool:
    return any(person is other or user_id == other_id for other, other_id, _how in found)


def _is_open(person: Employee) -> bool:
    return not person.crm_user_id and not person.is_dismissed and person.linked_by not in DECIDED


def _set(person: Employee, user_id: int | None, how: Employee.LinkedBy, *, former: int | None = None) -> None:
    person.crm_user_id, person.linked_by, person.former_user_id = user_id, how, former
    person.save(update_fields=["crm_user_id", "linked_by", "former_user_id"])
