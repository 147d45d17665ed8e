"""Ends what a client's work waits for: a pause of a vendor, a missing right, API points, its own retry delay."""

from datetime import datetime

from django.db import transaction

from connector_project.core.task_queue import enqueue
from crm import commands
from crm.models import Command
from telephony import api_quota, bulk_actions
from telephony.calls import sweep
from telephony.models import BulkAction, Call
from tenants.models import Connection, Tenant


def is_useful(tenant: Tenant, *, now: datetime) -> bool:
    """Return whether anything of this client waits."""
    connections: tuple[Connection, ...] = (tenant.uis, tenant.crm)
    quotas = (tenant.uis.data_limits, tenant.uis.call_limits)
    return (
        any(connection.is_paused(now=now) for connection in connections)
        or any(api_quota.seconds_to_wait(quota, is_live=False, now=now) for quota in quotas)
        or Call.objects.waiting(tenant.pk, now=now).exists()
    )


@transaction.atomic
def end_waits(tenant: Tenant, *, now: datetime) -> None:
    """Make everything due that waits, and queue it. Each vendor gets one request first, if it did not answer."""
    connections: tuple[Connection, ...] = (tenant.uis, tenant.crm)
    for connection in connections:
        connection.end_pause(now=now)
        if connection.denied_at:
            enqueue(connection.PROBE_TASK, tenant.pk)
    Call.objects.waiting(tenant.pk, now=now).update(next_attempt_at=now)
    sweep.resume_due(tenant_id=tenant.pk, now=now)
    waiting = {"tenant": tenant, "claim_token": None, "next_attempt_at__gt": now}
    Command.objects.filter(**waiting, state=Command.State.RECEIVED).update(next_attempt_at=now)
    commands.resume_pending(now=now)
    BulkAction.objects.open().filter(**waiting).update(next_attempt_at=now)
    bulk_actions.resume_due(now=now)
