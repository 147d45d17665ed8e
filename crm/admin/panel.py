"""The panel on top of a client's page: status, responsible, actions, last check results."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from crm import checkup, diagnosis, progress
from crm.admin import acts, buttons, standing
from crm.admin.journal import who
from crm.alarms import incidents
from crm.diagnosis import Diagnosis, Pulse
from crm.models import Activation
from tenants import clock, journal
from tenants.finding import Finding
from tenants.models import Change, Tenant

JOURNAL_ROWS = 20


@dataclass(frozen=True)
class Written:
    """One row of the audit log."""

    at: str
    who: str
    verb: str
    told: journal.Told


@dataclass(frozen=True, kw_only=True)
class Panel:
    diagnosis: Diagnosis
    pulse: Pulse
    last_event: str
    link_until: str  # empty if there is no valid link
    buttons: Sequence[buttons.Button]
    looked_at: str
    is_looking: bool
    failing: Sequence[Finding]
    fine: Sequence[Finding]
    unseen: Sequence[str]
    steps: Sequence[progress.StepLine]
    takeover: str  # the period being imported and the progress; empty if none
    journal: Sequence[Written]
    incidents: int  # that need attention


def of(tenant: Tenant, *, may_press: bool, now: datetime) -> Panel:
    """Return the panel of a client loaded by `tenant_status.with_status`."""
    pulse = diagnosis.pulses([tenant], now=now)[tenant.pk]
    last = getattr(tenant, "checkup", None)
    found = checkup.kept(last)
    until = tenant.activation_expires_at
    return Panel(
        diagnosis=diagnosis.diagnose(tenant, pulse=pulse, now=now),
        pulse=pulse,
        last_event=clock.said_at(tenant, pulse.last_event_at, now=now),
        link_until=clock.said_at(tenant, until, now=now) if until and until > now else "",
        buttons=buttons.offered(tenant, now=now) if may_press else [],
        looked_at=clock.said_at(tenant, last.checked_at if last else None, now=now),
        is_looking=acts.is_looking(tenant, now=now),
        failing=[finding for finding in found if not finding.is_ok],
        fine=[finding for finding in found if finding.is_ok],
        unseen=sorted(set(checkup.CHECKS) - {finding.check.code for finding in found}),
        steps=_steps(getattr(tenant, "activation", None)),
        takeover=standing.in_short(tenant),
        journal=_audit_log(tenant, now=now),
        incidents=incidents.pressing().filter(tenant=tenant).count(),
    )


def _steps(row: Activation | None) -> Sequence[progress.StepLine]:
    """Return the steps of an activation that is running or failed."""
    is_shown = row is not None and row.state in {Activation.State.RUNNING, Activation.State.FAILED}
    return progress.lines(row, is_on=False) if is_shown else []


def _audit_log(tenant: Tenant, *, now: datetime) -> list[Written]:
    rows = Change.objects.filter(tenant=tenant).select_related("user")[:JOURNAL_ROWS]
    return [
        Written(
            clock.said_at(tenant, change.at, now=now),
            who(change),
            change.get_verb_display(),
            journal.told(change),
        )
        for change in rows
    ]
