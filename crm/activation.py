"""The steps that activate a client. Each step is idempotent."""

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from connector_project import remote
from connector_project.queue import enqueue
from crm import checks, clients, module, scopes, users
from crm.models import Activation
from crm.retailcrm import refusals
from telephony import calls, employees
from telephony import checks as uis_checks
from telephony import clients as uis_clients
from telephony.models import Call
from tenants.finding import Finding
from tenants.models import CrmConnection, Tenant, UisConnection

Step = Activation.Step


class ActivationFailed(Exception):
    """Activation is blocked until somebody changes something; the check result says what, who and where."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.says)
        self.finding = finding


def activate(tenant: Tenant, *, now: datetime) -> None:
    """Run every step. Raises ActivationFailed; the client is switched on only by the last step."""
    for step in Step:
        take(tenant, step, now=now)


def take(tenant: Tenant, step: Activation.Step, *, now: datetime) -> None:
    """Run one step; it calls one remote system at most. Raises ActivationFailed."""
    STEPS[step](tenant, now)


def find_out(connection: CrmConnection) -> None:
    """Verify the key; store API version, stores and time zone. Raises ActivationFailed and RemoteError."""
    for finding in (checks.is_given(connection), checks.is_account_address(connection.address)):
        _need(finding)
    client = clients.crm_client(connection, is_live=True)
    served, rights = client.versions(), client.rights()
    _need(checks.version(connection, served))
    connection.served_version = checks.served_version(connection, served)
    for scope in scopes.missing(rights):
        if scope in scopes.INDISPENSABLE:
            _need(checks.lacking(scope))
    zone = clients.crm_client(connection, is_live=True).time_zone()
    connection.time_zone, connection.stores = zone or connection.time_zone, list(rights.sites)
    connection.save(update_fields=["served_version", "time_zone", "stores"])


def _try_uis(tenant: Tenant, _now: datetime) -> None:
    if not tenant.uis.access_token:
        raise ActivationFailed(uis_checks.key_missing())
    try:
        account = uis_clients.uis_client(tenant.uis, is_live=True).account()
    except remote.RemoteError as exc:
        raise ActivationFailed(uis_checks.refused(exc)) from exc
    _need(uis_checks.zone(account.time_zone or tenant.uis.time_zone))
    if account.time_zone:
        tenant.uis.time_zone = account.time_zone
        UisConnection.objects.filter(tenant=tenant).update(time_zone=account.time_zone)


def _try_crm(tenant: Tenant, _now: datetime) -> None:
    _translate_crm_errors(tenant, lambda: find_out(tenant.crm))


def _bring_people(tenant: Tenant, now: datetime) -> None:
    client = uis_clients.uis_client(tenant.uis, is_live=True)
    try:
        staff = employees.fetch(client)
    except remote.RemoteError as exc:
        raise ActivationFailed(uis_checks.no_employees(exc)) from exc
    employees.save(tenant, staff, now=now)


def _link(tenant: Tenant, now: datetime) -> None:
    # Starting an activation turns our module on even if somebody switched it off or deleted it in the CRM.
    def link() -> None:
        is_off = tenant.crm.denied_code == refusals.TELEPHONY_OFF
        is_right = not is_off and module.is_right(tenant, clients.crm_client(tenant.crm, is_live=True))
        users.link(tenant, now=now, is_forced=not is_right)

    _translate_crm_errors(tenant, link)


@transaction.atomic
def _switch_on(tenant: Tenant, now: datetime) -> None:
    _need_keys(tenant)
    tenant.uis.allow()
    tenant.crm.allow()
    Tenant.objects.filter(pk=tenant.pk, activated_at=None).update(activated_at=now)
    Tenant.objects.filter(pk=tenant.pk).update(left_at=None)
    tenant.refresh_from_db(fields=["activated_at", "left_at"])
    # A management command runs all steps without this row: clear the failure of the last run.
    Activation.objects.filter(tenant=tenant, state=Activation.State.FAILED).update(
        state=Activation.State.DONE, step=Step.ON, ended_at=now
    )
    # Calls received before activation were waiting for it.
    due = Call.objects.due(now=now).filter(tenant=tenant)
    for state in due.order_by().values_list("state", flat=True).distinct():
        enqueue(calls.NEXT[Call.State(state)], tenant.pk)


STEPS: dict[Activation.Step, Callable[[Tenant, datetime], None]] = {
    Step.UIS: _try_uis,
    Step.CRM: _try_crm,
    Step.PEOPLE: _bring_people,
    Step.LINK: _link,
    Step.ON: _switch_on,
}


def _need_keys(tenant: Tenant) -> None:
    """Check the keys again under a lock: the client may have been disconnected while the steps ran."""
    Tenant.objects.select_for_update().get(pk=tenant.pk)
    if not UisConnection.objects.filter(tenant=tenant).exclude(access_token="").exists():
        raise ActivationFailed(uis_checks.key_missing())
    _need(checks.is_given(CrmConnection.objects.get(tenant=tenant)))


def _need(finding: Finding) -> None:
    if not finding.is_ok:
        raise ActivationFailed(finding)


def _translate_crm_errors(tenant: Tenant, call_crm: Callable[[], object]) -> None:
    """Turn an error of the CRM into ActivationFailed."""
    try:
        call_crm()
    except remote.RemoteError as exc:
        raise ActivationFailed(checks.refused(exc, tenant.crm)) from exc
