"""Who in the CRM an employee may be, and what speaks for it. Pure: rows in, values out."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _

from connector_project import phones
from tenants.models import CrmUser, Employee

# How a patronymic ends, in Russian letters and in Latin ones.
PATRONYMIC = ("ич", "вна", "чна", "ich", "vna", "chna")
Words = tuple[str, ...]


class Ground(models.TextChoices):
    """What speaks for a pair, the strongest first."""

    EXTENSION = "EXTENSION", _("same extension")
    EMAIL = "EMAIL", _("same e-mail")
    FORMER = "FORMER", _("was bound to him before")
    NAME = "NAME", _("same name")
    PHONE = "PHONE", _("same phone")


Mark = tuple[Ground, Hashable]


@dataclass(frozen=True)
class Suggestion:
    """One user an employee may be."""

    user: CrmUser
    ground: Ground


@dataclass(frozen=True)
class Offer:
    """What is offered for one employee."""

    candidates: tuple[Suggestion, ...] = ()
    is_contested: bool = False  # one of the candidates is offered for somebody else, too

    @property
    def clear(self) -> Suggestion | None:
        """The one suggestion that a click may follow; None where a person must choose."""
        return self.candidates[0] if len(self.candidates) == 1 and not self.is_contested else None


def suggest(staff: Iterable[Employee], users: Iterable[CrmUser], typed: Iterable[tuple[int, str]]) -> dict[int, Offer]:
    """Return an offer for each unlinked employee of one client, by his id in UIS.

    `typed` are the extensions that people gave to users in the CRM. The strongest ground that finds anybody decides.
    """
    staff = list(staff)
    found = _candidates([person for person in staff if is_unlinked(person)], free_users(staff, users), typed)
    offered = Counter(one.user.crm_id for candidates in found.values() for one in candidates)
    return {
        uis_id: Offer(candidates, any(offered[one.user.crm_id] > 1 for one in candidates))
        for uis_id, candidates in found.items()
    }


def is_unlinked(person: Employee) -> bool:
    """Say whether somebody ought to look for this person's user."""
    is_let_be = person.is_dismissed or person.linked_by == Employee.LinkedBy.NOT_NEEDED
    return person.crm_user_id is None and not is_let_be


def free_users(staff: Iterable[Employee], users: Iterable[CrmUser]) -> list[CrmUser]:
    """Return the users who work in the CRM and are no employee's."""
    taken = {person.crm_user_id for person in staff}
    free = (user for user in users if user.is_active and user.crm_id not in taken)
    return sorted(free, key=_in_order)


def _candidates(
    people: Iterable[Employee], users: Iterable[CrmUser], typed: Iterable[tuple[int, str]]
) -> dict[int, tuple[Suggestion, ...]]:
    codes: dict[int, list[str]] = defaultdict(list)
    for user_id, code in typed:
        codes[user_id].append(code)
    marked: dict[Mark, list[CrmUser]] = defaultdict(list)
    for user in users:
        for mark in _of_user(user, codes[user.crm_id]):
            marked[mark].append(user)
    return {person.uis_id: _strongest(_of_person(person), marked) for person in people}


def _strongest(marks: Collection[Mark], marked: Mapping[Mark, Sequence[CrmUser]]) -> tuple[Suggestion, ...]:
    for ground in Ground:
        if hits := {user.crm_id: user for mark in marks if mark[0] == ground for user in marked.get(mark, ())}:
            return tuple(Suggestion(user, ground) for user in sorted(hits.values(), key=_in_order))
    return ()


def _of_user(user: CrmUser, codes: Iterable[str]) -> set[Mark]:
    """Return what a user is known by: where an employee has one of these marks, they may be the same."""
    exact, shorter = _names(user.name)
    return {
        *((Ground.EXTENSION, code) for code in codes if code),
        *((Ground.EMAIL, word) for word in [user.email.strip().lower()] if word),
        (Ground.FORMER, user.crm_id),
        *((Ground.NAME, words) for words in [exact] if words),
        *((Ground.NAME, ("without patronymic", words)) for words in shorter),
        *((Ground.PHONE, number) for number in [user.phone] if phones.is_outside(number)),
    }


def _of_person(person: Employee) -> set[Mark]:
    exact, shorter = _names(person.full_name)
    return {
        (Ground.EXTENSION, person.extension),
        (Ground.EMAIL, person.email.strip().lower()),
        (Ground.FORMER, person.former_user_id),
        # One side may lack the patronymic; two different ones are two people.
        *((Ground.NAME, words) for words in [exact, *shorter]),
        (Ground.NAME, ("without patronymic", exact)),
        *((Ground.PHONE, number) for number in person.numbers),
    }


def _names(name: str) -> tuple[Words, list[Words]]:
    """Return the words of a name in one order, and what three of them are without the patronymic."""
    words = sorted(re.findall(r"[^\W_]+", name.casefold().replace("ё", "е")))
    without = [
        tuple(words[:place] + words[place + 1 :])
        for place, word in enumerate(words)
        if len(words) == 3 and word.endswith(PATRONYMIC)
    ]
    return tuple(words), without


def _in_order(user: CrmUser) -> tuple[str, int]:
    return user.name, user.crm_id
