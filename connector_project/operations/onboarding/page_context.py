"""View model of the client's onboarding page: keys, steps, checks, webhooks, what is left to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from connector_project.core.check_results import CheckResult
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation as activation_runner
from crm import api_scopes, integration_module
from telephony.uis import webhook_templates
from telephony.webhooks import status
from tenants.models import CheckRun, Employee, Tenant, VirtualNumber

SHOWN = 4  # shown characters of a key: enough to distinguish two keys
JUST_NOW = timedelta(minutes=1)


@dataclass(frozen=True)
class WebhookSetup:
    """The set-up of one UIS webhook, and whether it works."""

    event: str
    name: str
    url: str
    body: str
    state: str
    seen_at: datetime | None
    faults: tuple[str, ...]
    is_new: bool = False  # received within the last minute

    @property
    def rows(self) -> int:
        return self.body.count("\n") + 1


@dataclass(frozen=True)
class OnboardingPage:
    tenant: Tenant
    activation: Activation | None
    failure: CheckResult | None
    steps: Sequence[activation_runner.StepLine]
    failed: Sequence[CheckResult]
    passed: Sequence[CheckResult]
    is_healthy: bool
    checked_at: datetime | None
    is_checking: bool
    webhooks: Sequence[WebhookSetup]
    unidentified: str
    numbers: Sequence[VirtualNumber]
    employees: Sequence[Employee]
    is_rotating: bool  # the old webhook URLs still work for a while

    @property
    def has_keys(self) -> bool:
        return not missing(self.tenant)

    @property
    def uis_key_end(self) -> str:
        return _end(self.tenant.uis.access_token)

    @property
    def crm_key_end(self) -> str:
        return _end(self.tenant.crm.key)

    @property
    def scopes(self) -> Sequence[str]:
        """The rights the CRM key needs."""
        return list(api_scopes.SCOPES)

    @property
    def default_number(self) -> VirtualNumber | None:
        return next((number for number in self.numbers if number.is_default), None)

    @property
    def is_running(self) -> bool:
        return self.activation is not None and self.activation.state == Activation.State.RUNNING

    @property
    def is_busy(self) -> bool:
        """Whether the page should poll."""
        return self.is_running or self.is_checking

    @property
    def is_on(self) -> bool:
        return self.tenant.activated_at is not None

    @property
    def asks_for_keys(self) -> bool:
        """Whether the key form is expanded: a key is missing or was rejected."""
        return not self.has_keys or (
            self.failure is not None and self.failure.check.code.startswith(("UIS_KEY", "CRM_"))
        )

    @property
    def is_uis_refused(self) -> bool:
        """Whether UIS rejected the key, as far as we know."""
        return self.tenant.uis.denied_at is not None or self._is_cause("UIS_KEY", "UIS_A")

    @property
    def is_crm_refused(self) -> bool:
        return self.tenant.crm.denied_at is not None or self._is_cause("CRM_KEY", "CRM_ACCOUNT", "CRM_ADDRESS")

    @property
    def next_webhook(self) -> str:
        """The first event that is not set up; its instructions are expanded."""
        return next((notice.event for notice in self.webhooks if notice.state != status.State.OK), "")

    def _is_cause(self, *beginnings: str) -> bool:
        return self.failure is not None and self.failure.check.code.startswith(beginnings)

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
        seen = sum(1 for notice in self.webhooks if notice.seen_at)
        params = {"seen": seen, "count": len(self.webhooks)}
        return _("Telephony is active. Webhooks received: %(seen)s of %(count)s.") % params


def build_page(tenant: Tenant, *, now: datetime) -> OnboardingPage:
    """Load everything in a fixed number of queries; no remote calls."""
    activation = Activation.objects.filter(tenant=tenant).first()
    check_run = CheckRun.objects.filter(tenant=tenant).first()
    findings = runner.stored_results(check_run)
    is_on = tenant.activated_at is not None
    webhooks = status.webhook_status(tenant, now=now) if is_on else None
    return OnboardingPage(
        tenant=tenant,
        activation=activation,
        failure=activation_runner.failure(activation)
        if activation and activation.state == Activation.State.FAILED
        else None,
        steps=activation_runner.lines(activation, is_on=is_on),
        failed=[finding for finding in findings if not finding.ok and not _is_a_notice(finding)],
        passed=[finding for finding in findings if finding.ok and not _is_a_notice(finding)],
        is_healthy=activation_runner.is_healthy(tenant, findings),
        checked_at=check_run.checked_at if check_run else None,
        is_checking=runner.is_running(check_run, now=now),
        webhooks=list(_notices(tenant, webhooks.events, now=now)) if webhooks else [],
        unidentified=" ".join(status.fault_message(fault) for fault in webhooks.unidentified.faults)
        if webhooks and webhooks.unidentified
        else "",
        numbers=list(VirtualNumber.objects.filter(tenant=tenant, is_active=True)) if is_on else [],
        employees=list(linked_employees(tenant)) if is_on else [],
        is_rotating=tenant.uis.is_rotating(now=now),
    )


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


def _is_a_notice(finding: CheckResult) -> bool:
    """Whether the webhook status already shows this result in more detail."""
    return finding.check.code.startswith(("EVENT_", "TEMPLATE_"))


def _notices(tenant: Tenant, webhooks: Iterable[status.EventStatus], *, now: datetime) -> Iterable[WebhookSetup]:
    base_url = integration_module.addresses(tenant)["notifications"]
    for event_status in webhooks:
        yield WebhookSetup(
            event=event_status.event.value,
            name=status.name(event_status.event),
            url=f"{base_url}{event_status.event.value}/",
            body=webhook_templates.template(event_status.event),
            state=event_status.state.value,
            seen_at=event_status.seen_at,
            faults=tuple(status.fault_message(fault) for fault in event_status.faults),
            is_new=event_status.seen_at is not None and now - event_status.seen_at < JUST_NOW,
        )
