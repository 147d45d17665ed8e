"""What switching a client on consists of, step by step. Each step may be done again without harm."""

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
    """Activation cannot go on until somebody changes something; the finding says what, who, and where."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.says)
        self.finding = finding


def activate(tenant: Tenant, *, now: datetime) -> None:
    """Do every step at once. Raises ActivationFailed; nothing is on until all is well."""
    for step in Step:
        take(tenant, step, now=now)


def take(tenant: Tenant, step: Activation.Step, *, now: datetime) -> None:
    """Do one step, which asks one side only. Raises ActivationFailed."""
    STEPS[step](tenant, now)


def find_out(connection: CrmConnection) -> None:
    """Try the key, and write down version, stores and zone. Raises ActivationFailed and the errors of remote."""
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
    _of_crm(tenant, lambda: find_out(tenant.crm))


def _bring_people(tenant: Tenant, now: datetime) -> None:
    client = uis_clients.uis_client(tenant.uis, is_live=True)
    try:
        staff = employees.fetch(client)
    except remote.RemoteError as exc:
        raise ActivationFailed(uis_checks.no_employees(exc)) from exc
    employees.save(tenant, staff, now=now)


def _link(tenant: Tenant, now: datetime) -> None:
    # Who presses the button wants our module on, even where somebody has switched it off in the CRM, or deleted it.
    def question() -> None:
        is_off = tenant.crm.denied_code == refusals.TELEPHONY_OFF
        is_right = not is_off and module.is_right(tenant, clients.crm_client(tenant.crm, is_live=True))
        users.link(tenant, now=now, is_forced=not is_right)

    _of_crm(tenant, question)


@transaction.atomic
def _switch_on(tenant: Tenant, now: datetime) -> None:
    _need_keys(tenant)
    tenant.uis.allow()
    tenant.crm.allow()
    Tenant.objects.filter(pk=tenant.pk, activated_at=None).update(activated_at=now)
    Tenant.objects.filter(pk=tenant.pk).update(left_at=None)
    tenant.refresh_from_db(fields=["activated_at", "left_at"])
    # The command does all steps at once, past the row: what stopped the last press stops nothing any more.
    Activation.objects.filter(tenant=tenant, state=Activation.State.FAILED).update(
        state=Activation.State.DONE, step=Step.ON, ended_at=now
    )
    # Calls that came in before wait for this moment.
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
    """He may have left while the steps ran, and his keys with him: then he is not brought back by them."""
    Tenant.objects.select_for_update().get(pk=tenant.pk)
    if not UisConnection.objects.filter(tenant=tenant).exclude(access_token="").exists():
        raise ActivationFailed(uis_checks.key_missing())
    _need(checks.is_given(CrmConnection.objects.get(tenant=tenant)))


def _need(finding: Finding) -> None:
    if not finding.is_ok:
        raise ActivationFailed(finding)


def _of_crm(tenant: Tenant, question: Callable[[], object]) -> None:
    """Ask the CRM; turn its refusal into what a person can do."""
    try:
        question()
    except remote.RemoteError as exc:
        raise ActivationFailed(checks.refused(exc, tenant.crm)) from exc
