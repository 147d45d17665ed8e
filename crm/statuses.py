"""Statuses that changed in UIS, handed to the CRM."""

from datetime import datetime

from connector_project import remote
from crm import clients
from tenants.models import Employee, Tenant, TransferRules, UisStatus


def push(tenant: Tenant, *, now: datetime) -> int:
    """Tell the CRM of each new status, once; return how many it took. What fails is told at the next poll."""
    if tenant.rules.status_sync != TransferRules.StatusSync.BOTH:
        return 0
    names = {str(status.uis_id): status.code for status in UisStatus.objects.filter(tenant=tenant)}
    client = clients.crm_client(tenant.crm)
    told = 0
    for person in _changed(tenant):
        status = tenant.rules.crm_status(names.get(person.uis_status, person.uis_status))
        # Written first: the CRM's echo may be here before its answer.
        Employee.objects.filter(pk=person.pk).update(crm_status_sent=status)
        try:
            client.set_user_status(person.crm_user_id or 0, status)
        except remote.AccessDenied as exc:
            if exc.code != "scope":
                tenant.crm.deny(exc.code, str(exc), now=now)
            return told
        except remote.RemoteUnavailable:
            return told
        except remote.RemoteError:
            pass  # This one is refused for good (an unknown user): the others go on, and he is not tried again.
        Employee.objects.filter(pk=person.pk).update(handed_status=person.uis_status)
        told += 1
    return told


def _changed(tenant: Tenant) -> list[Employee]:
    staff = Employee.objects.filter(tenant=tenant, is_dismissed=False, crm_user_id__isnull=False).exclude(uis_status="")
    return [person for person in staff if person.uis_status != person.handed_status]
