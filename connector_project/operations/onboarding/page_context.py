"""View model of the client's onboarding page: keys, steps, checks, webhooks, what is left to do."""

from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from connector_project.core.http_client import ACCOUNT
from connector_project.operations.alerts import denials
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation as activation_runner
from crm import api_scopes, integration_module
from telephony.checks.account import ADDRESS_LIST
from telephony.uis import webhook_templates
from telephony.webhooks import status
from tenants import outbound_addresses
from tenants.models import CheckRun, Employee, Tenant, VirtualNumber

SHOWN = 4  # shown characters of a key: enough to distinguish two keys
JUST_NOW = timedelta(minutes=1)


class WebhookSetup:
    """The set-up of one UIS webhook, and whether it works."""

    def __init__(self, found: status.EventStatus, *, base_url: str, now: datetime) -> None:
        self.event = found.event.value
        self.name = status.name(found.event)
        self.url = f"{base_url}{self.event}/"
        self.body = webhook_templates.template(found.event)
        self.rows = self.body.count("\n") + 1
        self.state = found.state.value
        self.seen_at = found.seen_at
        self.is_new = found.seen_at is not None and now - found.seen_at < JUST_NOW
        self.faults = [status.fault_message(fault) for fault in found.faults]


class OnboardingPage:
    """What the page shows, loaded in a fixed number of queries; no remote calls."""

    scopes = tuple(api_scopes.SCOPES)  # the rights the CRM key needs
    address_list = ADDRESS_LIST

    def __init__(self, tenant: Tenant, *, now: datetime) -> None:
        self.tenant = tenant
        self.is_on = tenant.activated_at is not None
        self.has_keys = not missing(tenant)
        self.outbound_addresses = outbound_addresses.to_allow()
        self.uis_key_end, self.crm_key_end = _end(tenant.uis.access_token), _end(tenant.crm.key)
        self.is_rotating = tenant.uis.is_rotating(now=now)  # the old webhook URLs still work for a while
        self.is_crm_outdated = tenant.crm.module_outdated_since is not None
        self._load_activation()
        self._load_checks(now=now)
        # What is not allowed to us now; the checks show it only from their next run on.
        self.denied = [one for connection in (tenant.uis, tenant.crm) for one in denials.of_connection(connection)]
        self.webhooks: list[WebhookSetup] = []
        self.unidentified = ""  # the faults of a notification that names no event
        self.numbers: list[VirtualNumber] = []
        self.employees: list[Employee] = []
        if self.is_on:
            self._load_webhooks(now=now)
            self.numbers = list(VirtualNumber.objects.filter(tenant=tenant, is_active=True))
            self.employees = list(linked_employees(tenant))

    def _load_activation(self) -> None:
        self.activation = Activation.objects.filter(tenant=self.tenant).first()
        self.is_running = self.activation is not None and self.activation.state == Activation.State.RUNNING
        self.failure = activation_runner.failure(self.activation)
        self.steps = activation_runner.lines(self.activation, is_on=self.is_on)

    def _load_checks(self, *, now: datetime) -> None:
        check_run = CheckRun.objects.filter(tenant=self.tenant).first()
        self.checked_at = check_run.checked_at if check_run else None
        self.is_checking = runner.is_running(check_run, now=now)
        findings = runner.stored_results(check_run)
        self.is_healthy = activation_runner.is_healthy(self.tenant, findings)
        # The webhook status shows the results of events and templates in more detail.
        findings = [one for one in findings if not one.check.code.startswith(("EVENT_", "TEMPLATE_"))]
        self.failed = [finding for finding in findings if not finding.ok]
        self.passed = [finding for finding in findings if finding.ok]

    def _load_webhooks(self, *, now: datetime) -> None:
        base_url = integration_module.addresses(self.tenant)["notifications"]
        found = status.webhook_status(self.tenant, now=now)
        self.webhooks = [WebhookSetup(event, base_url=base_url, now=now) for event in found.events]
        if found.unidentified:
            self.unidentified = " ".join(map(status.fault_message, found.unidentified.faults))

    @property
    def is_revoked(self) -> bool:
        """Whether the client must replace URLs in UIS that no longer work."""
        return not self.is_rotating and any(one.state == status.State.OLD_ADDRESS for one in self.webhooks)

    @property
    def has_default_number(self) -> bool:
        return any(number.is_default for number in self.numbers)

    @property
    def is_busy(self) -> bool:
        """Whether the page should poll."""
        return self.is_running or self.is_checking

    @property
    def asks_for_keys(self) -> bool:
        """Whether the key form is expanded: a key is missing or was rejected."""
        return not self.has_keys or self._is_cause("UIS_KEY", "CRM_")

    @property
    def is_uis_refused(self) -> bool:
        """Whether UIS rejected the key, as far as we know."""
        return ACCOUNT in self.tenant.uis.denials or self._is_cause("UIS_KEY", "UIS_A")

    @property
    def is_crm_refused(self) -> bool:
        return ACCOUNT in self.tenant.crm.denials or self._is_cause("CRM_KEY", "CRM_ACCOUNT", "CRM_ADDRESS")

    @property
    def address_box(self) -> str:
        """Where our addresses stand beside UIS's refusal: "steps", "denied" or "checks", once; "" without one."""
        if self.failure is not None and self.failure.check == ADDRESS_LIST:
            return "steps"
        if any(one.is_address_refused for one in self.denied):
            return "denied"
        return "checks" if any(one.check == ADDRESS_LIST for one in self.failed) else ""

    def _is_cause(self, *beginnings: str) -> bool:
        return self.failure is not None and self.failure.check.code.startswith(beginnings)

    @property
    def next_webhook(self) -> str:
        """The first event that is not set up; its instructions are expanded."""
        return next((webhook.event for webhook in self.webhooks if webhook.state != status.State.OK), "")

    @property
    def stage(self) -> str:
        """A fingerprint of the page's parts; the page reloads when it changes."""
        return f"{self.is_on:d}{self.asks_for_keys:d}{len(self.numbers)}{len(self.employees)}"

    @property
    def summary(self) -> str:
        """One sentence for screen readers."""
        if self.activation and self.is_running:
            number = activation_runner.STEPS.index(Activation.Step(self.activation.step)) + 1
            params = {"number": number, "count": len(self.steps), "step": self.activation.get_step_display()}
            return _("Step %(number)s of %(count)s: %(step)s.") % params
        if self.failure:
            return self.failure.message
        if not self.is_on:
            return _("Telephony is not active yet.")
        seen = sum(1 for webhook in self.webhooks if webhook.seen_at)
        params = {"seen": seen, "count": len(self.webhooks)}
        return _("Telephony is active. Webhooks received: %(seen)s of %(count)s.") % params


def _end(key: str) -> str:
    """Return the last characters of a key if enough of it stays hidden."""
    return key[-SHOWN:] if len(key) >= 3 * SHOWN else ""


def missing(tenant: Tenant) -> list[str]:
    """Return the names of the missing keys."""
    needed = (
        (tenant.uis.access_token, _("UIS access key")),
        (tenant.crm.address, _("CRM address")),
        (tenant.crm.key, _("CRM API key")),
    )
    return [name for value, name in needed if not value]


def linked_employees(tenant: Tenant) -> QuerySet[Employee]:
    """Return the employees who can get a pop-up."""
    return Employee.objects.filter(tenant=tenant).linked()
