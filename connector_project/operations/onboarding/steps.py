"""The steps that activate a client. Each step is idempotent."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Coalesce

from connector_project.core import http_client
from connector_project.core.check_results import CheckFailed, CheckResult, require
from connector_project.core.http_client import MODULE
from connector_project.core.task_queue import enqueue
from connector_project.operations.models import Activation
from crm import checks, client_factory, key_verification, module_state, user_linking
from crm.retailcrm import errors
from telephony import checks as uis_checks
from telephony import client_factory as uis_clients
from telephony.calls import steps
from telephony.checks.staff import RIGHT_EMPLOYEES
from telephony.models import Call
from telephony.staff import sync
from telephony.uis import errors as uis_errors
from tenants import account_claims
from tenants.access_errors import SWITCHED_OFF
from tenants.models import CrmConnection, Tenant, UisConnection

Step = Activation.Step


def activate(tenant: Tenant, *, now: datetime) -> None:
    """Run every step. Raises CheckFailed; the client is switched on only by the last step."""
    for step in Step:
        run_step(tenant, step, now=now)


def run_step(tenant: Tenant, step: Activation.Step, *, now: datetime) -> None:
    """Run one step; it calls one remote system at most. Raises CheckFailed."""
    try:
        STEPS[step](tenant, now)
    except http_client.RemoteError as exc:
        raise CheckFailed(refused(exc, tenant, step)) from exc


def refused(exc: http_client.RemoteError, tenant: Tenant, step: Activation.Step) -> CheckResult:
    """Return the failed check for an error of the system that this step calls."""
    if step == Step.PEOPLE:
        return uis_checks.refused(exc, right=RIGHT_EMPLOYEES)
    return uis_checks.refused(exc) if step == Step.UIS else checks.refused(exc, tenant.crm)


def timed_out(tenant: Tenant, step: Activation.Step) -> CheckResult:
    """Return the failed check for a step that never ends: its remote system does not answer in time."""
    system = uis_errors.SYSTEM if step in {Step.UIS, Step.PEOPLE} else errors.SYSTEM
    return refused(http_client.RemoteUnavailable(system, f"{system} did not answer in time."), tenant, step)


def _verify_uis(tenant: Tenant, _now: datetime) -> None:
    require(uis_checks.is_given(tenant.uis))
    account = uis_clients.verify_account(tenant.uis, uis_clients.uis_client(tenant.uis, is_live=True))
    require(uis_checks.zone(account.time_zone or tenant.uis.time_zone))
    if account.time_zone:
        tenant.uis.time_zone = account.time_zone
        UisConnection.objects.filter(tenant=tenant).update(time_zone=account.time_zone)


def _verify_crm(tenant: Tenant, _now: datetime) -> None:
    key_verification.verify_crm_key(tenant.crm)


def _import_staff(tenant: Tenant, now: datetime) -> None:
    staff = sync.fetch(uis_clients.uis_client(tenant.uis, is_live=True))
    sync.save(tenant, staff, now=now)
    sync.record_denials(tenant, staff, now=now)


def _link(tenant: Tenant, now: datetime) -> None:
    """Link employees; turn our module on even if somebody switched it off or deleted it in the CRM."""
    client = client_factory.crm_client(tenant.crm, is_live=True)
    is_off = not tenant.crm.denials.keys().isdisjoint({SWITCHED_OFF, MODULE})
    is_right = not is_off and module_state.is_ours(tenant, client)
    user_linking.link(tenant, now=now, is_forced=not is_right, is_patient=True)
    tenant.crm.lift(SWITCHED_OFF, MODULE)


@transaction.atomic
def _switch_on(tenant: Tenant, now: datetime) -> None:
    _need_keys(tenant)
    _hold_accounts(tenant)
    changes = {"activated_at": Coalesce("activated_at", Value(now)), "offboarded_at": None}
    if Tenant.objects.filter(pk=tenant.pk, offboarded_at__isnull=False).exists():
        tenant.approve()  # Only an operator can activate a client who has left.
    Tenant.objects.filter(pk=tenant.pk).update(**changes)
    tenant.refresh_from_db(fields=list(changes))
    # A management command runs all steps without this row: clear the failure of the last run.
    Activation.objects.filter(tenant=tenant, state=Activation.State.FAILED).update(
        state=Activation.State.DONE, step=Step.ON, ended_at=now
    )
    # Calls received before activation were waiting for it.
    due = Call.objects.due(now=now).filter(tenant=tenant)
    for state in due.order_by().values_list("state", flat=True).distinct():
        enqueue(steps.TASKS[Call.State(state)], tenant.pk)


def _need_keys(tenant: Tenant) -> None:
    """Check the keys again under a lock: the client may have been disconnected while the steps ran."""
    Tenant.objects.lock_row(tenant.pk)
    require(uis_checks.is_given(UisConnection.objects.get(tenant=tenant)))
    require(checks.is_given(CrmConnection.objects.get(tenant=tenant)))


def _hold_accounts(tenant: Tenant) -> None:
    """Require that no other client has got an account meanwhile."""
    for connection, system, refused_as in (
        (tenant.uis, uis_errors.SYSTEM, uis_checks.refused),
        (tenant.crm, errors.SYSTEM, partial(checks.refused, connection=tenant.crm)),
    ):
        try:
            account_claims.hold(connection, system=system)
        except http_client.AccessDenied as exc:
            raise CheckFailed(refused_as(exc)) from exc


STEPS: dict[Activation.Step, Callable[[Tenant, datetime], None]] = {
    Step.UIS: _verify_uis,
    Step.CRM: _verify_crm,
    Step.PEOPLE: _import_staff,
    Step.LINK: _link,
    Step.ON: _switch_on,
}
