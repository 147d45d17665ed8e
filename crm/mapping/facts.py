"""Data of the employee mapping page, loaded in a fixed number of queries."""

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
    """One employee with their CRM user or suggestions, and the calls concerned."""

    employee: Employee
    user: CrmUser | None = None
    offer: Offer = NO_OFFER
    waiting: int = 0  # calls that can still be resent
    uploaded: int = 0  # for unlinked employees: this week's calls, which can no longer get a user


@dataclass(frozen=True)
class UnknownId:
    """An ID unknown to the CRM, how often it was reported this week, and whose it is in our data."""

    kind: str
    value: str
    times: int
    last: date
    whose: Sequence[Employee | CrmUser]

    @property
    def label(self) -> str:
        """The translated kind."""
        return str(Stray.Kind(self.kind).label)


@dataclass(frozen=True)
class Mapping:
    """The employee mapping of one client, and what is missing in it."""

    unlinked: Sequence[Row]
    linked: Sequence[Row]
    not_needed: Sequence[Employee]
    left: Sequence[Row]  # dismissed employees with a user or with calls to send
    free_users: Sequence[CrmUser]
    unknown: Sequence[UnknownId]
    numbers: Sequence[VirtualNumber]  # without a store, if the client has several
    stores: Sequence[str]


def examine(tenant: Tenant, now: datetime) -> Mapping:
    """Load the overview of a client. The tenant must come with its connections."""
    staff = list(Employee.objects.filter(tenant=tenant))
    users = {user.crm_id: user for user in CrmUser.objects.filter(tenant=tenant)}
    rows = _rows(tenant, staff, users, now=now)
    stores = list(tenant.crm.stores)
    return Mapping(
        unlinked=[row for row in rows if suggestions.is_unlinked(row.employee)],
        # Employees with pending calls come first.
        linked=sorted((row for row in rows if _is_linked(row.employee)), key=lambda row: -row.waiting),
        not_needed=[person for person in staff if _is_not_needed(person)],
        left=[row for row in rows if row.employee.is_dismissed and (row.employee.crm_user_id or row.waiting)],
        free_users=suggestions.free_users(staff, users.values()),
        unknown=_unknown(tenant, staff, users, now=now),
        numbers=list(tenant.virtual_numbers.filter(is_active=True, site="")) if len(stores) > 1 else [],
        stores=stores,
    )


def _rows(tenant: Tenant, staff: Sequence[Employee], users: dict[int, CrmUser], *, now: datetime) -> list[Row]:
    manual = tenant.crm.sent_module.get("kept", [])
    offers = suggestions.suggest(staff, users.values(), [(user_id, code) for user_id, code in manual])
    pending = waiting.count_waiting(tenant, staff, now=now)
    uploaded = waiting.count_uploaded(tenant, since=now - LOOK_BACK)
    return [
        Row(
            employee=person,
            user=users.get(person.crm_user_id) if person.crm_user_id else None,
            offer=offers.get(person.uis_id, NO_OFFER),
            waiting=pending[person.uis_id],
            uploaded=uploaded.get(person.pk, 0) if suggestions.is_unlinked(person) else 0,
        )
        for person in staff
    ]


def _unknown(tenant: Tenant, staff: Iterable[Employee], users: dict[int, CrmUser], *, now: datetime) -> list[UnknownId]:
    """Return this week's unknown IDs, most frequent first."""
    since = (now - LOOK_BACK).astimezone(tenant.zone).date()
    reported = Stray.objects.filter(tenant=tenant, on__gt=since).order_by().values("kind", "value")
    owners = _owners(staff, users)
    return [
        UnknownId(**row, whose=owners[row["kind"], row["value"]])
        for row in reported.annotate(times=Sum("times"), last=Max("on")).order_by("-times", "kind", "value")
    ]


def _owners(
    staff: Iterable[Employee], users: dict[int, CrmUser]
) -> defaultdict[tuple[str, str], list[Employee | CrmUser]]:
    """Return who has an extension or user ID in our data; active employees before dismissed ones."""
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
