"""Statuses that changed in UIS: nothing tells us, so we look."""

from django.db import transaction
from django.db.models import F

from connector_project.queue import enqueue
from telephony import clients, route
from tenants.models import Employee, Tenant


def poll(tenant: Tenant) -> int:
    """Note whose status changed since we last knew it and hand it on; return how many.

    A status we set ourselves was noted when we set it, so our own change is no change here.
    """
    seen = clients.uis_client(tenant.uis).employee_statuses()
    changed = [
        person
        for person in Employee.objects.filter(tenant=tenant, is_dismissed=False)
        if seen.get(person.uis_id) and seen[person.uis_id] != person.uis_status
    ]
    with transaction.atomic():
        for person in changed:
            # The row may have changed while we asked: only what we compared with is replaced.
            Employee.objects.filter(pk=person.pk, uis_status=person.uis_status).update(uis_status=seen[person.uis_id])
        # Not only what is new: the CRM may have been away when it was told last time.
        if Employee.objects.filter(tenant=tenant, is_dismissed=False).exclude(uis_status=F("handed_status")).exists():
            enqueue(route.STATUSES, tenant.pk)
    return len(changed)
