"""The steps that activate a client. Each step is idempotent."""

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from connector_project.core import http_client
from connector_project.core.check_results import CheckFailed, require
from connector_project.core.task_queue import enqueue
from connector_project.operations.models import Activation
from crm import checks, client_factory, integration_module, key_verification, user_linking
from crm.retailcrm import errors
from telephony import checks as uis_checks
from telephony import client_factory as uis_clients
from telephony.calls import steps
from telephony.checks.staff import RIGHT_EMPLOYEES
from telephony.models import Call
from telephony.staff import sync
from tenants.models import CrmConnection, Tenant, UisConnection

Step = Activation.Step


def activate(tenant: Tenant, *, now: datetime) -> None:
    """Run every step. Raises CheckFailed; the client is switched on only by the last step."""
    for step in Step:
        run_step(tenant, step, now=now)


def run_step(tenant: Tenant, step: Activation.Step, *, now: datetime) -> None:
    """Run one step; it calls one remote system at most. Raises CheckFailed."""
    STEPS[step](tenant, now)


def _try_uis(tenant: Tenant, _now: datetime) -> None:
    require(uis_checks.is_given(tenant.uis))
    try:
        account = uis_clients.uis_client(tenant.uis, is_live=True).account()
    except http_client.RemoteError as exc:
        raise CheckFailed(uis_checks.refused(exc)) from exc
    require(uis_checks.zone(account.time_zone or tenant.uis.time_zone))
    if account.time_zone:
        tenant.uis.time_zone = account.time_zone
        UisConnection.objects.filter(tenant=tenant).update(time_zone=account.time_zone)


def _try_crm(tenant: Tenant, _now: datetime) -> None:
    _translate_crm_errors(tenant, lambda: key_verification.verify_crm_key(tenant.crm))


def _import_staff(tenant: Tenant, now: datetime) -> None:
    client = uis_clients.uis_client(tenant.uis, is_live=True)
    try:
        staff = sync.fetch(client)
    except http_client.RemoteError as exc:
        raise CheckFailed(uis_checks.refused(exc, right=RIGHT_EMPLOYEES)) from exc
    sync.save(tenant, staff, now=now)


def _link(tenant: Tenant, now: datetime) -> None:
    # Starting an activation turns our module on even if somebody switched it off or deleted it in the CRM.
    def link() -> None:
        is_off = tenant.crm.denied_code == errors.TELEPHONY_OFF
        is_right = not is_off and integration_module.is_ours(
            tenant, client_factory.crm_client(tenant.crm, is_live=True)
        )
        user_linking.link(tenant, now=now, is_forced=not is_right)

    _translate_crm_errors(tenant, link)


@transaction.atomic
def _switch_on(tenant: Tenant, now: datetime) -> None:
    _need_keys(tenant)
    tenant.uis.restore()
    tenant.crm.restore()
    Tenant.objects.filter(pk=tenant.pk, activated_at=None).update(activated_at=now)
    Tenant.objects.filter(pk=tenant.pk).update(offboarded_at=None)
    tenant.refresh_from_db(fields=["activated_at", "offboarded_at"])
    # A management command runs all steps without this row: clear the failure of the last run.
    Activation.objects.filter(tenant=tenant, state=Activation.State.FAILED).update(
        state=Activation.State.DONE, step=Step.ON, ended_at=now
    )
    # Calls received before activation were waiting for it.
    due = Call.objects.due(now=now).filter(tenant=tenant)
    for state in due.order_by().values_list("state", flat=True).distinct():
        enqueue(steps.TASKS[Call.State(state)], tenant.pk)


STEPS: dict[Activation.Step, Callable[[Tenant, datetime], None]] = {
    Step.UIS: _try_uis,
    Step.CRM: _try_crm,
    Step.PEOPLE: _import_staff,
    Step.LINK: _link,
    Step.ON: _switch_on,
}


def _need_keys(tenant: Tenant) -> None:
    """Check the keys again under a lock: the client may have been disconnected while the steps ran."""
    Tenant.objects.select_for_update().get(pk=tenant.pk)
    require(uis_checks.is_given(UisConnection.objects.get(tenant=tenant)))
    require(checks.is_given(CrmConnection.objects.get(tenant=tenant)))


def _translate_crm_errors(tenant: Tenant, call_crm: Callable[[], object]) -> None:
    """Turn an error of the CRM into CheckFailed."""
    try:
        call_crm()
    except http_client.RemoteError as exc:
        raise CheckFailed(checks.refused(exc, tenant.crm)) from exc
