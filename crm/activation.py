"""One click: check both keys, bring the people, register the module. A second click changes nothing."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from django.conf import settings
from django.db import models, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connector_project import remote
from connector_project.queue import enqueue
from crm import clients, users
from crm.address import fault
from crm.retailcrm.client import V4, V5, RetailCrmClient
from telephony import calls, employees
from telephony import clients as uis_clients
from telephony.models import Call
from tenants.models import CrmConnection, Denial, Tenant, UisConnection

AnswerT = TypeVar("AnswerT")
SERVED = {V5: "5.", V4: "4."}
# Scope, the pattern an old key has in its place.
NEEDED = {
    "integration_write": "/api/integration-modules/{code}/edit",
    "telephony_write": "/api/telephony/calls/upload",
    "user_read": "/api/users",
}


class Who(models.TextChoices):
    """Who has to act."""

    CLIENT = "client", gettext_lazy("the client")
    OPERATOR = "operator", gettext_lazy("the operator")
    UIS = "uis", "UIS"
    CRM = "crm", "retailCRM"


class ActivationFailed(Exception):
    """Activation cannot go on until somebody changes something; the text says what, in the person's language."""

    def __init__(self, code: str, says: str, *, who: Who) -> None:
        super().__init__(says)
        self.code, self.says, self.who = code, says, who


def activate(tenant: Tenant, *, now: datetime) -> users.Linked:
    """Switch a client on, or bring what is on up to date. Raises ActivationFailed; nothing is on until all is well."""
    _check_filled_in(tenant)
    uis = uis_clients.uis_client(tenant.uis, is_live=True)
    account = _of_uis(uis.account)
    UisConnection.objects.filter(tenant=tenant).update(time_zone=account.time_zone)
    _of_crm(lambda: find_out(tenant.crm))
    staff = _of_uis(lambda: employees.fetch(uis))
    employees.save(tenant, staff, now=now)
    linked = _of_crm(lambda: users.link(tenant, now=now))
    _switch_on(tenant, now=now)
    return linked


def find_out(connection: CrmConnection) -> None:
    """Check the key, and write down the version served and the account's zone. Raises the errors of remote."""
    connection.served_version = _version(connection)
    client = clients.crm_client(connection, is_live=True)
    _check_rights(client)
    connection.time_zone = client.time_zone() or connection.time_zone
    connection.save(update_fields=["served_version", "time_zone"])


@transaction.atomic
def _switch_on(tenant: Tenant, *, now: datetime) -> None:
    tenant.uis.allow()
    tenant.crm.allow()
    Tenant.objects.filter(pk=tenant.pk, activated_at=None).update(activated_at=now)
    tenant.refresh_from_db(fields=["activated_at"])
    # Calls that came in before wait for this moment.
    due = Call.objects.due(now=now).filter(tenant=tenant)
    for state in due.order_by().values_list("state", flat=True).distinct():
        enqueue(calls.NEXT[Call.State(state)], tenant.pk)


def _check_filled_in(tenant: Tenant) -> None:
    if not tenant.uis.access_token:
        raise ActivationFailed(
            "UIS_KEY_MISSING", _("The UIS access key is missing. Make one in UIS: Account → Users."), who=Who.CLIENT
        )
    if not tenant.crm.key or not tenant.crm.address:
        says = _(
            "The address or the API key of the CRM is missing. Make one in the CRM: Settings → Integration → API keys."
        )
        raise ActivationFailed("CRM_KEY_MISSING", says, who=Who.CLIENT)
    address = tenant.crm.address
    if fault(address, domains=settings.CRM_DOMAINS, is_trusted=remote.is_trusted(address)):
        says = _("“%(address)s” is no address of a CRM account; it looks like https://shop.retailcrm.ru") % {
            "address": address
        }
        raise ActivationFailed("CRM_ADDRESS", says, who=Who.CLIENT)


def _version(connection: CrmConnection) -> str:
    """Return the version to speak: the chosen one, else the newest of ours that is served."""
    if connection.version != CrmConnection.Version.AUTO:
        return connection.version
    served = clients.crm_client(connection, is_live=True).versions()
    for version, beginning in SERVED.items():
        if any(word.startswith(beginning) for word in served):
            return version
    raise ActivationFailed("CRM_VERSION", _("The CRM serves neither version 5 nor 4 of its interface."), who=Who.CRM)


def _check_rights(client: RetailCrmClient) -> None:
    rights = client.rights()
    lacking = [scope for scope, pattern in NEEDED.items() if rights.lacks(scope, pattern)]
    if lacking:
        says = _("The API key lacks these rights: %(scopes)s. Tick them in the CRM: Settings → Integration → API keys.")
        raise ActivationFailed("CRM_SCOPE", says % {"scopes": ", ".join(lacking)}, who=Who.CLIENT)


def _of_uis(question: Callable[[], AnswerT]) -> AnswerT:
    return _asked(
        question, "UIS_", client_codes=("access_token", "ip_not", "forbidden", "component", "method_comp"), who=Who.UIS
    )


def _of_crm(question: Callable[[], AnswerT]) -> AnswerT:
    return _asked(question, "CRM_", client_codes=("key", "scope", "account"), who=Who.CRM)


def _asked(question: Callable[[], AnswerT], prefix: str, *, client_codes: tuple[str, ...], who: Who) -> AnswerT:
    """Ask the other side; turn its refusal into what a person can do."""
    try:
        return question()
    except remote.RemoteUnavailable as exc:
        raise ActivationFailed(f"{prefix}UNAVAILABLE", str(exc), who=who) from exc
    except remote.RemoteError as exc:
        actor = Who.CLIENT if exc.code.startswith(client_codes) else who
        says = f"{_what_to_do(exc.code)} ({exc.system}: {exc})".strip()
        raise ActivationFailed(f"{prefix}{(exc.code or 'refused').upper()}", says, who=actor) from exc


def _what_to_do(code: str) -> str:
    """Return the sentence that names the setting to change, in the person's language; "" where we know none."""
    return str(Denial(code).label) if code in Denial.values else ""
