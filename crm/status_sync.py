"""Pushes employee statuses that changed in UIS to the CRM."""

from datetime import datetime

from connector_project.core import http_client
from crm import client_factory
from tenants.models import Employee, Tenant, TransferRules, UisStatus


def push(tenant: Tenant, *, now: datetime) -> int:
    """Push each changed status once; return how many the CRM accepted. Failed ones are retried at the next poll."""
    if tenant.rules.status_sync != TransferRules.StatusSync.BOTH:
        return 0
    names = {str(status.uis_id): status.code for status in UisStatus.objects.filter(tenant=tenant)}
    client = client_factory.crm_client(tenant.crm)
    pushed = 0
    for employee in _changed(tenant):
        status = tenant.rules.crm_status(names.get(employee.uis_status, employee.uis_status))
        # Stored first: the CRM's echo may arrive before its response.
        Employee.objects.filter(pk=employee.pk).update(last_sent_crm_status=status)
        try:
            client.set_user_status(employee.crm_user_id or 0, status)
        except http_client.AccessDenied as exc:
            tenant.crm.record_denial(exc, now=now)
            return pushed
        except http_client.RemoteUnavailable:
            return pushed
        except http_client.RemoteError:
            pass  # Rejected permanently (unknown user): do not retry.
        Employee.objects.filter(pk=employee.pk).update(synced_status=employee.uis_status)
        pushed += 1
    return pushed


def _changed(tenant: Tenant) -> list[Employee]:
    staff = Employee.objects.filter(tenant=tenant).linked().exclude(uis_status="")
    return [employee for employee in staff if employee.uis_status != employee.synced_status]
