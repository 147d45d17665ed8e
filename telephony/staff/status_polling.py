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
    # Before the request: what changes during it is newer than the answer.
    known = list(Employee.objects.filter(tenant=tenant, is_dismissed=False))
    statuses = client_factory.uis_client(tenant.uis).employee_statuses()
    with transaction.atomic():
        Tenant.objects.lock_row(tenant.pk)
        for employee in known:
            status = statuses.get(employee.uis_id)
            if status and status != employee.uis_status:
                # Optimistic lock: a command may have set the status meanwhile, or be about to.
                unchanged = Employee.objects.filter(
                    pk=employee.pk, uis_status=employee.uis_status, status_commands=employee.status_commands
                )
                unchanged.update(uis_status=status)
        # Not only new changes: the CRM may have been unavailable last time.
        if Employee.objects.filter(tenant=tenant, is_dismissed=False).exclude(uis_status=F("synced_status")).exists():
            enqueue(task_names.PUSH_STATUSES, tenant.pk)
