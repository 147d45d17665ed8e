"""Pushes employee statuses that changed in UIS to the CRM."""

from datetime import datetime

from connector_project import remote
from crm import clients
from tenants.models import Employee, Tenant, TransferRules, UisStatus


def push(tenant: Tenant, *, now: datetime) -> int:
    """Push each changed status once; return how many the CRM accepted. Failed ones are retried at the next poll."""
    if tenant.rules.status_sync != TransferRules.StatusSync.BOTH:
        return 0
    names = {str(status.uis_id): status.code for status in UisStatus.objects.filter(tenant=tenant)}
    client = clients.crm_client(tenant.crm)
    pushed = 0
    for person in _changed(tenant):
        status = tenant.rules.crm_status(names.get(person.uis_status, person.uis_status))
        # Stored first: the CRM's echo may arrive before its response.
        Employee.objects.filter(pk=person.pk).update(crm_status_sent=status)
        try:
            client.set_user_status(person.crm_user_id or 0, status)
        except remote.AccessDenied as exc:
            if exc.code != "scope":
                tenant.crm.deny(exc.code, str(exc), now=now)
            return pushed
        except remote.RemoteUnavailable:
            return pushed
        except remote.RemoteError:
            pass  # Rejected permanently (unknown user): do not retry.
        Employee.objects.filter(pk=person.pk).update(handed_status=person.uis_status)
        pushed += 1
    return pushed


def _changed(tenant: Tenant) -> list[Employee]:
    staff = Employee.objects.filter(tenant=tenant, is_dismissed=False, crm_user_id__isnull=False).exclude(uis_status="")
    return [person for person in staff if person.uis_status != person.handed_status]
