"""Polls employee statuses: UIS sends no notification when they change."""

from django.db import transaction
from django.db.models import F

from connector_project.core.task_queue import enqueue
from telephony import client_factory, task_names
from tenants.models import Employee, Tenant


def poll(tenant: Tenant) -> None:
    """Store changed statuses and enqueue their transfer to the CRM.

    A status we set is stored when it is set, so our own change does not count here.
    """
    statuses = client_factory.uis_client(tenant.uis).employee_statuses()
    changed = [
        employee
        for employee in Employee.objects.filter(tenant=tenant, is_dismissed=False)
        if statuses.get(employee.uis_id) and statuses[employee.uis_id] != employee.uis_status
    ]
    with transaction.atomic():
        for employee in changed:
            # Optimistic lock: the row may have changed during the request.
            Employee.objects.filter(pk=employee.pk, uis_status=employee.uis_status).update(
                uis_status=statuses[employee.uis_id]
            )
        # Not only new changes: the CRM may have been unavailable last time.
        if Employee.objects.filter(tenant=tenant, is_dismissed=False).exclude(uis_status=F("synced_status")).exists():
            enqueue(task_names.PUSH_STATUSES, tenant.pk)
