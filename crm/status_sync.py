"""Pushes employee statuses that changed in UIS to the CRM."""

from datetime import datetime

from django.db.models import Exists, F, OuterRef, QuerySet

from connector_project.core import http_client
from crm import client_factory
from crm.models import Command
from tenants.models import Employee, Tenant, UisStatus
from tenants.rules import StatusSync


def push(tenant: Tenant, *, now: datetime) -> int:
    """Push each changed status once; return how many the CRM accepted. Failed ones are retried at the next poll."""
    if tenant.rules.status_sync != StatusSync.BOTH or not client_factory.takes_statuses(tenant.crm):
        return 0
    names = {str(status.uis_id): status.code for status in UisStatus.objects.filter(tenant=tenant)}
    client = client_factory.crm_client(tenant.crm)
    pushed = 0
    for employee in _changed(tenant):
        status = tenant.rules.crm_status(names.get(employee.uis_status, employee.uis_status))
        same = _changed(tenant).filter(pk=employee.pk, crm_user_id=employee.crm_user_id, uis_status=employee.uis_status)
        # Stored first: the CRM's echo may arrive before its response, and until then nobody knows what the CRM has. Not
        # if it changed while others were pushed.
        if not same.update(last_sent_crm_status=status, synced_status=""):
            continue
        try:
            client.set_user_status(employee.crm_user_id or 0, status)
        except http_client.AccessDenied as exc:
            tenant.crm.record_denial(exc, now=now)
            # The CRM has not set it: the same status, set there, is no echo.
            Employee.objects.filter(pk=employee.pk, last_sent_crm_status=status).update(last_sent_crm_status="")
            return pushed
        except http_client.RemoteUnavailable:
            return pushed
        except http_client.RemoteError as exc:
            if isinstance(exc, http_client.UnexpectedReply) and not exc.code:
                continue  # Garbled: retry at the next poll.
            # Rejected permanently (unknown user): do not retry.
        Employee.objects.filter(pk=employee.pk, status_commands=employee.status_commands).update(
            synced_status=employee.uis_status
        )
        pushed += 1
    return pushed


def _changed(tenant: Tenant) -> QuerySet[Employee]:
    """Return who has a status that the CRM does not know; not those for whom a command of the CRM is still open.

    The command sets another status in UIS, and ours would undo in the CRM what its user has just chosen.
    """
    open_states = [Command.State.RECEIVED, Command.State.RUNNING]
    commands = Command.objects.filter(
        tenant=tenant, employee=OuterRef("pk"), kind=Command.Kind.SET_STATUS, state__in=open_states
    )
    staff = Employee.objects.filter(tenant=tenant).linked().exclude(uis_status="")
    return staff.exclude(uis_status=F("synced_status")).exclude(Exists(commands)).order_by("pk")
