"""What the mapping doctor shows of one client, read in a fixed number of queries."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Max, Sum

from crm.mapping import suggestions, waiting
from crm.mapping.suggestions import Offer
from crm.models import Stray
from tenants.models import CrmUser, Employee, Tenant, VirtualNumber

LOOK_BACK = timedelta(days=7)
NO_OFFER = Offer()


@dataclass(frozen=True)
class Row:
    """One employee, with his user or who it may be, and the calls concerned."""

    employee: Employee
    user: CrmUser | None = None
    offer: Offer = NO_OFFER
    waiting: int = 0  # calls that may still be sent on
    uploaded: int = 0  # of who has no user: calls of this week that can no longer get one


@dataclass(frozen=True)
class UnknownId:
    """An id the CRM does not know, how often it said so this week, and whose it is with us."""

    kind: str
    value: str
    times: int
    last: date
    whose: Sequence[Employee | CrmUser]

    @property
    def label(self) -> str:
        """The kind in the person's language."""
        return str(Stray.Kind(self.kind).label)


@dataclass(frozen=True)
class Mapping:
    """Who is whom at one client, and where that is not known."""

    unlinked: Sequence[Row]
    linked: Sequence[Row]
    not_needed: Sequence[Employee]
    left: Sequence[Row]  # who left UIS and still holds a user, or still has calls to send
    free_users: Sequence[CrmUser]
    unknown: Sequence[UnknownId]
    numbers: Sequence[VirtualNumber]  # without a store, where there is a choice of stores
    stores: Sequence[str]


def examine(tenant: Tenant, now: datetime) -> Mapping:
    """Look at one client as a whole. The tenant comes with his connections."""
    staff = list(Employee.objects.filter(tenant=tenant))
    users = {user.crm_id: user for user in CrmUser.objects.filter(tenant=tenant)}
    rows = _rows(tenant, staff, users, now=now)
    stores = list(tenant.crm.stores)
    return Mapping(
        unlinked=[row for row in rows if suggestions.is_unlinked(row.employee)],
        # Whose calls wait stands first: there is something to do.
        linked=sorted((row for row in rows if _is_linked(row.employee)), key=lambda row: -row.waiting),
        not_needed=[person for person in staff if _is_not_needed(person)],
        left=[row for row in rows if row.employee.is_dismissed and (row.employee.crm_user_id or row.waiting)],
        free_users=suggestions.free_users(staff, users.values()),
        unknown=_unknown(tenant, staff, users, now=now),
        numbers=list(tenant.virtual_numbers.filter(is_active=True, site="")) if len(stores) > 1 else [],
        stores=stores,
    )


def _rows(tenant: Tenant, staff: Sequence[Employee], users: dict[int, CrmUser], *, now: datetime) -> list[Row]:
    kept = tenant.crm.sent_module.get("kept", [])
    offers = suggestions.suggest(staff, users.values(), [(user_id, code) for user_id, code in kept])
    waits = waiting.count_waiting(tenant, staff, now=now)
    uploaded = waiting.count_uploaded(tenant, since=now - LOOK_BACK)
    return [
        Row(
            employee=person,
            user=users.get(person.crm_user_id) if person.crm_user_id else None,
            offer=offers.get(person.uis_id, NO_OFFER),
            waiting=waits[person.uis_id],
            uploaded=uploaded.get(person.pk, 0) if suggestions.is_unlinked(person) else 0,
        )
        for person in staff
    ]


def _unknown(tenant: Tenant, staff: Iterable[Employee], users: dict[int, CrmUser], *, now: datetime) -> list[UnknownId]:
    """Return what the CRM did not know this week, the most frequent first."""
    since = (now - LOOK_BACK).astimezone(tenant.zone).date()
    told = Stray.objects.filter(tenant=tenant, on__gt=since).order_by().values("kind", "value")
    owners = _owners(staff, users)
    return [
        UnknownId(**said, whose=owners[said["kind"], said["value"]])
        for said in told.annotate(times=Sum("times"), last=Max("on")).order_by("-times", "kind", "value")
    ]


def _owners(
    staff: Iterable[Employee], users: dict[int, CrmUser]
) -> defaultdict[tuple[str, str], list[Employee | CrmUser]]:
    """Return whose an extension or a user's id is with us; who works here goes before who left."""
    owners: defaultdict[tuple[str, str], list[Employee | CrmUser]] = defaultdict(list)
    for person in sorted(staff, key=lambda person: person.is_dismissed):
        for kind, value in ((Stray.Kind.CODE, person.extension), (Stray.Kind.USER, person.crm_user_id)):
            if value:
                owners[kind, str(value)].append(person)
    for crm_id, user in users.items():
        owners.setdefault((Stray.Kind.USER, str(crm_id)), [user])
    return owners


def _is_linked(person: Employee) -> bool:
    return person.crm_user_id is not None and not person.is_dismissed


def _is_not_needed(person: Employee) -> bool:
    return person.linked_by == Employee.LinkedBy.NOT_NEEDED and not person.is_dismissed
