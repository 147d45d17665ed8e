"""Suggests CRM users for unlinked employees. Pure: rows in, values out."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers
from connector_project.core.choices import Choices
from tenants.models import CrmUser, Employee

# Endings of a patronymic, Cyrillic and Latin.
PATRONYMIC = ("ич", "вна", "чна", "ich", "vna", "chna")
Words = tuple[str, ...]


class MatchReason(Choices):
    """Why an employee and a user match, strongest reason first."""

    EXTENSION = "EXTENSION", _("same extension")
    EMAIL = "EMAIL", _("same e-mail")
    PREVIOUS = "PREVIOUS", _("linked before")
    NAME = "NAME", _("same name")
    PHONE = "PHONE", _("same phone")


MatchKey = tuple[MatchReason, Hashable]


@dataclass(frozen=True)
class Suggestion:
    """A suggested user."""

    user: CrmUser
    reason: MatchReason


@dataclass(frozen=True)
class Suggestions:
    """The suggestions for one employee."""

    candidates: tuple[Suggestion, ...] = ()
    is_contested: bool = False  # a candidate is also suggested for another employee

    @property
    def clear(self) -> Suggestion | None:
        """The only, uncontested suggestion; None if a person must choose."""
        return self.candidates[0] if len(self.candidates) == 1 and not self.is_contested else None


def suggest(
    staff: Iterable[Employee], users: Iterable[CrmUser], typed: Iterable[tuple[int, str]]
) -> dict[int, Suggestions]:
    """Return suggestions for each unlinked employee of one client, by UIS ID.

    `typed` are the extensions entered manually in the CRM. Only the strongest reason with any match counts.
    """
    staff = list(staff)
    free = {user.crm_id: user for user in free_users(staff, users)}
    users_by_key: dict[MatchKey, list[CrmUser]] = defaultdict(list)
    for user_id, code in typed:
        if code and user_id in free:
            users_by_key[MatchReason.EXTENSION, code].append(free[user_id])
    for user in free.values():
        for key in _keys_of_user(user):
            users_by_key[key].append(user)
    unlinked = (employee for employee in staff if employee.is_unlinked)
    found = {employee.uis_id: _strongest(_keys_of_employee(employee), users_by_key) for employee in unlinked}
    offered = Counter(one.user.crm_id for candidates in found.values() for one in candidates)
    return {
        uis_id: Suggestions(candidates, any(offered[one.user.crm_id] > 1 for one in candidates))
        for uis_id, candidates in found.items()
    }


def free_users(staff: Iterable[Employee], users: Iterable[CrmUser]) -> list[CrmUser]:
    """Return the active CRM users not linked to any employee."""
    linked_ids = {employee.crm_user_id for employee in staff}
    free = (user for user in users if user.is_active and user.crm_id not in linked_ids)
    return sorted(free, key=_in_order)


def _strongest(
    keys: Collection[MatchKey], users_by_key: Mapping[MatchKey, Sequence[CrmUser]]
) -> tuple[Suggestion, ...]:
    for reason in MatchReason:
        if hits := {user.crm_id: user for key in keys if key[0] == reason for user in users_by_key.get(key, ())}:
            return tuple(Suggestion(user, reason) for user in sorted(hits.values(), key=_in_order))
    return ()


def _keys_of_user(user: CrmUser) -> set[MatchKey]:
    """Return a user's match keys; an employee who shares one may be the same person."""
    exact, shorter = _names(user.name)
    keys = {
        (MatchReason.EMAIL, user.email.strip().lower()),
        (MatchReason.PREVIOUS, user.crm_id),
        (MatchReason.NAME, exact),
        *((MatchReason.NAME, ("without patronymic", parts)) for parts in shorter),
        (MatchReason.PHONE, user.phone if phone_numbers.is_external(user.phone) else ""),
    }
    return {(reason, value) for reason, value in keys if value}


def _keys_of_employee(employee: Employee) -> set[MatchKey]:
    exact, shorter = _names(employee.full_name)
    return {
        (MatchReason.EXTENSION, employee.extension),
        (MatchReason.EMAIL, employee.email.strip().lower()),
        (MatchReason.PREVIOUS, employee.previous_crm_user_id),
        # The patronymic may be missing on one side; two different ones are two people.
        *((MatchReason.NAME, parts) for parts in [exact, *shorter]),
        (MatchReason.NAME, ("without patronymic", exact)),
        *((MatchReason.PHONE, number) for number in employee.numbers),
    }


def _names(name: str) -> tuple[Words, list[Words]]:
    """Return the sorted words of a name, and the variants of a three-word name without the patronymic."""
    parts = sorted(re.findall(r"[^\W_]+", name.casefold().replace("ё", "е")))
    without = [
        tuple(parts[:place] + parts[place + 1 :])
        for place, part in enumerate(parts)
        if len(parts) == 3 and part.endswith(PATRONYMIC)
    ]
    return tuple(parts), without


def _in_order(user: CrmUser) -> tuple[str, int]:
    return user.name, user.crm_id
