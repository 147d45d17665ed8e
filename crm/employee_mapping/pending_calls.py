"""The calls affected by an employee's link: pending or failed ones, and those already uploaded."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from django.db.models import Count, Q

from telephony.models import Call
from telephony.models.call_queryset import MISSED, CallQuerySet
from tenants.models import Employee, Tenant

MISSED_WITHOUT_OWNER = MISSED & Q(employee=None)


def pending(tenant: Tenant, *, now: datetime) -> CallQuerySet:
    """Return failed or pending calls not claimed by a worker, started within the upload window."""
    is_unclaimed = Q(claim_token=None) | Q(failed_at__isnull=False)
    window_start = tenant.upload_window_start(now=now)
    return Call.objects.open().filter(is_unclaimed, tenant=tenant, started_at__gte=window_start)


def pending_of(employee: Employee, *, now: datetime) -> list[Call]:
    """Return the employee's pending calls, oldest first, and missed ones without an owner that rang their phone."""
    open_calls = pending(employee.tenant, now=now).order_by("started_at", "pk")
    concerned = open_calls.filter(Q(employee=employee) | MISSED_WITHOUT_OWNER).select_related("tenant__rule_version")
    return [call for call in concerned if call.employee_id or employee.uis_id in call.rung_employee_ids]


def count_pending(tenant: Tenant, staff: Iterable[Employee], *, now: datetime) -> Counter[int]:
    """Return the number of pending calls per employee, by UIS ID. Two queries for any number of employees."""
    uis_ids = {person.pk: person.uis_id for person in staff}
    open_calls = pending(tenant, now=now).order_by()
    owned = open_calls.filter(employee__isnull=False).values_list("employee").annotate(Count("pk"))
    counted = Counter({uis_ids[employee_id]: count for employee_id, count in owned if employee_id in uis_ids})
    for rung_employee_ids in open_calls.filter(MISSED_WITHOUT_OWNER).values_list("rung_employee_ids", flat=True):
        counted.update(set(rung_employee_ids))
    return counted


def count_uploaded(tenant: Tenant, *, since: datetime) -> dict[int, int]:
    """Return the number of uploaded calls per employee since then, by primary key."""
    done = Call.objects.filter(tenant=tenant, state=Call.State.UPLOADED, started_at__gte=since, employee__isnull=False)
    return dict(done.order_by().values_list("employee").annotate(Count("pk")))
