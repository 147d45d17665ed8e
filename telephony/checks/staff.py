"""Checks on a client's employees in UIS: rights of the key, extensions."""

from collections import Counter
from collections.abc import Iterator, Sequence

from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_texts
from connector_project.core.check_results import Check, CheckResult, join_limited
from telephony.checks.account import USERS
from telephony.uis.client import UisClient
from telephony.uis.types import UisEmployee
from tenants.models import Employee, Tenant
from tenants.rules import StatusSync

_STAFF = _("UIS: Administrator → Employees.")

RIGHT_EMPLOYEES = Check(
    code="UIS_RIGHT_EMPLOYEES",
    passed=_("The key may see employees."),
    failed=_("The key's user may not see employees. Grant the right “Employees: view”."),
    where=USERS,
)
EMPLOYEES = Check(
    code="UIS_EMPLOYEES",
    passed=_("UIS has employees (%(count)s)."),
    failed=_("UIS has no employees. Add those who take calls."),
    where=_STAFF,
)


def employees(tenant: Tenant, client: UisClient) -> Iterator[CheckResult]:
    """Check that there are employees, and their extensions. UIS's refusal fails RIGHT_EMPLOYEES."""
    staff = client.employees().rows
    yield RIGHT_EMPLOYEES.result(is_ok=True)
    yield EMPLOYEES.result(is_ok=bool(staff), count=len(staff))
    if staff:
        linked = Employee.objects.filter(tenant=tenant).linked().values_list("uis_id", flat=True)
        yield from _extensions(staff, linked=set(linked))


EXTENSIONS = Check(
    code="UIS_EXTENSIONS",
    passed=_("Employees have extensions."),
    failed=_("Without an extension there is no call button in the CRM. Give one to: %(names)s."),
    where=_STAFF,
)
EXTENSIONS_UNIQUE = Check(
    code="UIS_EXTENSIONS_UNIQUE",
    passed=_("No extension belongs to two employees."),
    failed=_("Two employees share an extension, so pop-ups would go to the wrong one: %(names)s."),
    where=_STAFF,
)


def _extensions(staff: Sequence[UisEmployee], *, linked: set[int]) -> Iterator[CheckResult]:
    """Check for missing and shared extensions. Linked employees need one; if nobody has one, all need one."""
    having = [person for person in staff if person.extension]
    without = [person for person in staff if not person.extension and (person.uis_id in linked or not having)]
    yield EXTENSIONS.result(is_ok=not without, names=join_limited(_name(person) for person in without))
    if having:
        counts = Counter(person.extension for person in having)
        shared = [f"{_name(person)} ({person.extension})" for person in having if counts[person.extension] > 1]
        yield EXTENSIONS_UNIQUE.result(is_ok=not shared, names=join_limited(shared))


def _name(person: UisEmployee) -> str:
    """Return a name for everybody who sees results: it may hold a number."""
    return phone_texts.mask(person.full_name)


RIGHT_STATUSES = Check(
    code="UIS_RIGHT_STATUSES",
    passed=_("The key may change employees' statuses."),
    failed=_("The key's user may not change employees, so statuses are not synced. Grant the right “Employees: edit”."),
    where=USERS,
)


def statuses(tenant: Tenant, client: UisClient) -> Iterator[CheckResult]:
    if tenant.rules.status_sync != StatusSync.OFF:
        yield RIGHT_STATUSES.result(is_ok=client.may_change_employees())
