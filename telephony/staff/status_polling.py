"""Polls employee statuses: UIS sends no notification when they change."""

from django.db import transaction
from django.db.models import F

from connector_project.core.task_queue import enqueue
from telephony import client_factory, task_names
from tenants.models import Employee, Tenant


def poll(tenant: Tenant) -> int:
    """Store changed statuses and enqueue their transfer to the CRM; return how many changed.

    A status we set is stored when it is set, so our own change does not count here.
    """
    seen = client_factory.uis_client(tenant.uis).employee_statuses()
    changed = [
        person
        for person in Employee.objects.filter(tenant=tenant, is_dismissed=False)
        if seen.get(person.uis_id) and seen[person.uis_id] != person.uis_status
    ]
    with transaction.atomic():
        for person in changed:
            # Optimistic lock: the row may have changed during the request.
            Employee.objects.filter(pk=person.pk, uis_status=person.uis_status).update(uis_status=seen[person.uis_id])
        # Not only new changes: the CRM may have been unavailable last time.
        if Employee.objects.filter(tenant=tenant, is_dismissed=False).exclude(uis_status=F("synced_status")).exists():
            enqueue(task_names.PUSH_STATUSES, tenant.pk)
    return len(changed)
