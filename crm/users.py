"""Link CRM users to employees, by what people typed and by e-mail; never guess between two."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from crm import clients, module
from crm.retailcrm.types import User
from tenants.models import Employee, Tenant

LinkedBy = Employee.LinkedBy


@dataclass(frozen=True)
class Linked:
    """How many people there are, and how many of them we know on both sides."""

    employees: int
    crm_users: int
    linked: int

    @property
    def unlinked(self) -> int:
        return self.employees - self.linked


def link(tenant: Tenant, *, now: datetime, is_forced: bool = False) -> Linked:
    """Link people and tell the module of every extension, forced even where nothing changed or it is switched off.

    Raises the errors of connector_project.remote.
    """
    client = clients.crm_client(tenant.crm)
    users = [user for user in client.users() if user.is_active]
    typed = module.typed_codes(tenant, client)
    linked = save(tenant, users, typed)
    module.register(tenant, client, typed=typed, now=now, is_forced=is_forced)
    return linked


@transaction.atomic
def save(tenant: Tenant, users: Sequence[User], typed: Sequence[tuple[int, str]]) -> Linked:
    """Write the links that follow from what both sides say."""
    staff = list(Employee.objects.select_for_update().filter(tenant=tenant))
    active = {user.user_id for user in users}
    for person in staff:
        # Who left either side is nobody's employee any more; his user may be another's now.
        if person.crm_user_id and (person.is_dismissed or person.crm_user_id not in active):
            _set(person, None, LinkedBy.NOBODY)
    for person, user_id, how in find_links(staff, users, typed):
        _set(person, user_id, how)
    here = [person for person in staff if not person.is_dismissed]
    return Linked(len(here), len(users), sum(1 for person in here if person.crm_user_id))


def find_links(
    staff: Iterable[Employee], users: Iterable[User], typed: Iterable[tuple[int, str]]
) -> list[tuple[Employee, int, Employee.LinkedBy]]:
    """Return the new links: by an extension a person typed into the CRM, then by e-mail; one candidate or none."""
    open_staff = [person for person in staff if not person.crm_user_id and not person.is_dismissed]
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


def _set(person: Employee, user_id: int | None, how: Employee.LinkedBy) -> None:
    person.crm_user_id, person.linked_by = user_id, how
    person.save(update_fields=["crm_user_id", "linked_by"])
