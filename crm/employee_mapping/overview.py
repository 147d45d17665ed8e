"""Data of the employee mapping page, loaded in a fixed number of queries."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Max, Sum

from crm.employee_mapping import pending_calls, suggestions
from crm.employee_mapping.suggestions import Suggestions
from crm.models import UnknownId
from tenants.models import CrmUser, Employee, Tenant, VirtualNumber

LOOK_BACK = timedelta(days=7)
NO_SUGGESTIONS = Suggestions()
Owners = defaultdict[tuple[str, str], list[Employee | CrmUser]]  # by the kind and value of an ID


@dataclass(frozen=True)
class Row:
    """One employee with their CRM user or suggestions, and the calls concerned."""

    employee: Employee
    user: CrmUser | None = None
    suggestions: Suggestions = NO_SUGGESTIONS
    pending: int = 0  # calls that can still be resent
    uploaded: int = 0  # for unlinked employees: this week's calls, which can no longer get a user


@dataclass(frozen=True)
class UnknownIdRow:
    """An ID unknown to the CRM, how often it was reported this week, and whose it is in our data."""

    kind: str
    value: str
    count: int
    last: date
    owners: Sequence[Employee | CrmUser]

    @property
    def label(self) -> str:
        """The translated kind."""
        return str(UnknownId.Kind(self.kind).label)


@dataclass(frozen=True)
class MappingOverview:
    """The employee mapping of one client, and what is missing in it."""

    unlinked: Sequence[Row]
    linked: Sequence[Row]
    not_needed: Sequence[Employee]
    departed: Sequence[Row]  # dismissed employees with a user or with calls to send
    free_users: Sequence[CrmUser]
    unknown: Sequence[UnknownIdRow]
    numbers: Sequence[VirtualNumber]  # without a store, if the client has several
    stores: Sequence[str]


def load_overview(tenant: Tenant, now: datetime) -> MappingOverview:
    """Load the overview of a client. The tenant must come with its connections."""
    staff = list(Employee.objects.filter(tenant=tenant))
    users = {user.crm_id: user for user in CrmUser.objects.filter(tenant=tenant)}
    rows = _rows(tenant, staff, users, now=now)
    present = [row for row in rows if not row.employee.is_dismissed]
    stores = list(tenant.crm.stores)
    return MappingOverview(
        unlinked=[row for row in rows if row.employee.is_unlinked],
        # Employees with pending calls come first.
        linked=sorted((row for row in present if row.employee.crm_user_id), key=lambda row: -row.pending),
        not_needed=[row.employee for row in present if row.employee.linked_by == Employee.LinkedBy.NOT_NEEDED],
        departed=[row for row in rows if row.employee.is_dismissed and (row.employee.crm_user_id or row.pending)],
        free_users=suggestions.free_users(staff, users.values()),
        unknown=_unknown(tenant, _owners(staff, users), now=now),
        numbers=list(tenant.virtual_numbers.filter(is_active=True, site="")) if len(stores) > 1 else [],
        stores=stores,
    )


def _rows(tenant: Tenant, staff: Sequence[Employee], users: dict[int, CrmUser], *, now: datetime) -> list[Row]:
    offers = suggestions.suggest(staff, users.values(), tenant.crm.registered_module.get("manual_codes", []))
    pending = pending_calls.count_pending(tenant, staff, now=now)
    uploaded = pending_calls.count_uploaded(tenant, since=now - LOOK_BACK)
    return [
        Row(
            employee=employee,
            user=users.get(employee.crm_user_id) if employee.crm_user_id else None,
            suggestions=offers.get(employee.uis_id, NO_SUGGESTIONS),
            pending=pending[employee.uis_id],
            uploaded=uploaded.get(employee.pk, 0) if employee.is_unlinked else 0,
        )
        for employee in staff
    ]


def _unknown(tenant: Tenant, owners: Owners, *, now: datetime) -> list[UnknownIdRow]:
    """Return this week's unknown IDs, most frequent first."""
    since = (now - LOOK_BACK).astimezone(tenant.zone).date()
    reported = UnknownId.objects.filter(tenant=tenant, last_seen_on__gt=since).order_by().values("kind", "value")
    return [
        UnknownIdRow(**row, owners=owners[row["kind"], row["value"]])
        for row in reported.annotate(count=Sum("count"), last=Max("last_seen_on")).order_by("-count", "kind", "value")
    ]


def _owners(staff: Iterable[Employee], users: dict[int, CrmUser]) -> Owners:
    """Return who has an extension or user ID in our data; active employees before dismissed ones."""
    owners: Owners = defaultdict(list)
    for employee in sorted(staff, key=lambda employee: employee.is_dismissed):
        for kind, value in ((UnknownId.Kind.CODE, employee.extension), (UnknownId.Kind.USER, employee.crm_user_id)):
            if value:
                owners[kind, str(value)].append(employee)
    for crm_id, user in users.items():
        owners.setdefault((UnknownId.Kind.USER, str(crm_id)), [user])
    return owners
