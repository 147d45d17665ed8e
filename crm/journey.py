"""How far a client has come, as his page shows it: keys, steps, checks, notifications, what is left to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from crm import checkup, module, progress, scopes
from crm.models import Activation
from telephony import lamps
from telephony.uis import templates
from tenants.finding import Finding
from tenants.models import CheckUp, Employee, Tenant, VirtualNumber

SHOWN = 4  # how much of a key is shown: enough to tell two apart
JUST_NOW = timedelta(minutes=1)


@dataclass(frozen=True)
class Notice:
    """What is typed into UIS for one event, and whether it has worked."""

    event: str
    name: str
    address: str
    body: str
    state: str
    seen_at: datetime | None
    faults: tuple[str, ...]
    is_new: bool = False  # it came within the last minute

    @property
    def rows(self) -> int:
        """How many lines the body has."""
        return self.body.count("\n") + 1


@dataclass(frozen=True)
class Journey:
    """Everything the page shows."""

    tenant: Tenant
    activation: Activation | None
    cause: Finding | None
    steps: Sequence[progress.StepLine]
    failing: Sequence[Finding]
    passed: Sequence[Finding]
    is_well: bool
    checked_at: datetime | None
    is_checking: bool
    notices: Sequence[Notice]
    stranger: str
    numbers: Sequence[VirtualNumber]
    people: Sequence[Employee]
    is_rotating: bool  # the addresses have changed, and the old ones are heard for a while

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
        """The rights to tick at the CRM's key."""
        return list(scopes.SCOPES)

    @property
    def default_number(self) -> VirtualNumber | None:
        return next((number for number in self.numbers if number.is_default), None)

    @property
    def is_running(self) -> bool:
        return self.activation is not None and self.activation.state == Activation.State.RUNNING

    @property
    def is_busy(self) -> bool:
        """Whether something is at work that the page waits for."""
        return self.is_running or self.is_checking

    @property
    def is_on(self) -> bool:
        return self.tenant.activated_at is not None

    @property
    def asks_for_keys(self) -> bool:
        """Whether the boxes for the keys stand open: one is missing, or one was refused."""
        return not self.has_keys or (self.cause is not None and self.cause.check.code.startswith(("UIS_KEY", "CRM_")))

    @property
    def is_uis_refused(self) -> bool:
        """Whether UIS does not take the key, as far as was last heard."""
        return self.tenant.uis.denied_at is not None or self._is_cause("UIS_KEY", "UIS_A")

    @property
    def is_crm_refused(self) -> bool:
        """The same of the CRM."""
        return self.tenant.crm.denied_at is not None or self._is_cause("CRM_KEY", "CRM_ACCOUNT", "CRM_ADDRESS")

    @property
    def next_notice(self) -> str:
        """The first event that is not set up: its boxes stand open."""
        return next((notice.event for notice in self.notices if notice.state != lamps.State.GREEN), "")

    def _is_cause(self, *beginnings: str) -> bool:
        return self.cause is not None and self.cause.check.code.startswith(beginnings)

    @property
    def stage(self) -> str:
        """Which parts the page has: when this changes, it is to be loaded anew."""
        return f"{self.is_on:d}{self.asks_for_keys:d}{len(self.numbers)}{len(self.people)}"

    @property
    def summary(self) -> str:
        """One sentence for who cannot see the page."""
        if self.activation and self.is_running:
            number = progress.STEPS.index(Activation.Step(self.activation.step)) + 1
            about = {"number": number, "count": len(self.steps), "step": self.activation.get_step_display()}
            return _("Step %(number)s of %(count)s: %(step)s.") % about
        if self.cause:
            return self.cause.says
        if not self.is_on:
            return _("Telephony is not switched on yet.")
        seen = sum(1 for notice in self.notices if notice.seen_at)
        about = {"seen": seen, "count": len(self.notices)}
        return _("Telephony is on. Notifications that have come: %(seen)s of %(count)s.") % about


def of(tenant: Tenant, *, now: datetime) -> Journey:
    """Load all of it, in a fixed number of queries; asks nobody outside."""
    activation = Activation.objects.filter(tenant=tenant).first()
    kept = CheckUp.objects.filter(tenant=tenant).first()
    findings = checkup.kept(kept)
    is_on = tenant.activated_at is not None
    lit = lamps.look(tenant, now=now) if is_on else None
    return Journey(
        tenant=tenant,
        activation=activation,
        cause=progress.cause(activation) if activation and activation.state == Activation.State.FAILED else None,
        steps=progress.lines(activation, is_on=is_on),
        failing=[finding for finding in findings if not finding.is_ok and not _is_a_notice(finding)],
        passed=[finding for finding in findings if finding.is_ok and not _is_a_notice(finding)],
        is_well=progress.is_well(tenant, findings),
        checked_at=kept.checked_at if kept else None,
        is_checking=checkup.is_running(kept, now=now),
        notices=list(_notices(tenant, lit.lamps, now=now)) if lit else [],
        stranger=" ".join(lamps.says(fault) for fault in lit.stranger.faults) if lit and lit.stranger else "",
        numbers=list(VirtualNumber.objects.filter(tenant=tenant, is_active=True)) if is_on else [],
        people=list(reachable(tenant)) if is_on else [],
        is_rotating=tenant.uis.is_rotating(now=now),
    )


def _end(key: str) -> str:
    """Return the end of a key, if enough of it stays hidden."""
    return key[-SHOWN:] if len(key) >= 3 * SHOWN else ""


def missing(tenant: Tenant) -> list[str]:
    """Name what the button still needs."""
    needed = (
        (tenant.uis.access_token, _("UIS access key")),
        (tenant.crm.address, _("Address of the CRM")),
        (tenant.crm.key, _("CRM API key")),
    )
    return [name for value, name in needed if not value]


def reachable(tenant: Tenant) -> QuerySet[Employee]:
    """Return the people a card can be shown to."""
    return Employee.objects.filter(tenant=tenant, is_dismissed=False, crm_user_id__isnull=False)


def _is_a_notice(finding: Finding) -> bool:
    """Whether the lamps tell it already, and better."""
    return finding.check.code.startswith(("EVENT_", "TEMPLATE_"))


def _notices(tenant: Tenant, lit: Iterable[lamps.Lamp], *, now: datetime) -> Iterable[Notice]:
    where = module.addresses(tenant)["notifications"]
    for lamp in lit:
        yield Notice(
            event=lamp.event.value,
            name=lamps.name(lamp.event),
            address=f"{where}{lamp.event.value}/",
            body=templates.template(lamp.event),
            state=lamp.state.value,
            seen_at=lamp.seen_at,
            faults=tuple(lamps.says(fault) for fault in lamp.faults),
            is_new=lamp.seen_at is not None and now - lamp.seen_at < JUST_NOW,
        )
