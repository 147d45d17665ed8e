"""The panel on top of a client's page: status, responsible, actions, last check results."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connector_project.core.check_results import CheckResult
from connector_project.operations import tenant_status
from connector_project.operations.admin import bulk_action_pages, tenant_action_handlers, tenant_actions
from connector_project.operations.admin.audit_log import actor
from connector_project.operations.alerts import incidents
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation
from connector_project.operations.tenant_status import RecentActivity, StatusReport
from tenants import audit, datetime_display
from tenants.models import AuditLogEntry, Tenant

AUDIT_ROWS = 20


@dataclass(frozen=True)
class AuditRow:
    """One row of the audit log."""

    at: str
    actor: str
    action: str
    entry: audit.RenderedEntry


@dataclass(frozen=True, kw_only=True)
class Panel:
    status: StatusReport
    activity: RecentActivity
    last_event: str
    link_until: str  # empty if there is no valid link
    actions: Sequence[tenant_actions.TenantAction]
    checked_at: str
    is_checking: bool
    failed: Sequence[CheckResult]
    passed: Sequence[CheckResult]
    not_seen: Sequence[str]
    steps: Sequence[activation.StepLine]
    open_import: str  # the period being imported and the progress; empty if none
    audit_log: Sequence[AuditRow]
    incidents: int  # that need attention


def build_panel(tenant: Tenant, *, may_act: bool, now: datetime) -> Panel:
    """Return the panel of a client loaded by `tenant_status.with_status`."""
    activity = tenant_status.recent_activity([tenant], now=now)[tenant.pk]
    last = getattr(tenant, "check_run", None)
    results = runner.stored_results(last)
    until = tenant.activation_expires_at
    return Panel(
        status=tenant_status.describe(tenant, activity=activity, now=now),
        activity=activity,
        last_event=datetime_display.format_short(tenant, activity.last_event_at, now=now),
        link_until=datetime_display.format_short(tenant, until, now=now) if until and until > now else "",
        actions=tenant_actions.available_actions(tenant, now=now) if may_act else [],
        checked_at=datetime_display.format_short(tenant, last.checked_at if last else None, now=now),
        is_checking=tenant_action_handlers.is_checking(tenant, now=now),
        failed=[result for result in results if not result.ok],
        passed=[result for result in results if result.ok],
        not_seen=sorted(set(runner.CHECKS) - {result.check.code for result in results}),
        steps=_steps(getattr(tenant, "activation", None)),
        open_import=bulk_action_pages.open_import(tenant),
        audit_log=_audit_log(tenant, now=now),
        incidents=incidents.active().filter(tenant=tenant).count(),
    )


def _steps(row: Activation | None) -> Sequence[activation.StepLine]:
    """Return the steps of an activation that is running or failed."""
    is_shown = row is not None and row.state in {Activation.State.RUNNING, Activation.State.FAILED}
    return activation.lines(row, is_on=False) if is_shown else []


def _audit_log(tenant: Tenant, *, now: datetime) -> list[AuditRow]:
    rows = AuditLogEntry.objects.filter(tenant=tenant).select_related("user")[:AUDIT_ROWS]
    return [
        AuditRow(
            datetime_display.format_short(tenant, entry.at, now=now),
            actor(entry),
            entry.get_action_display(),
            audit.render(entry),
        )
        for entry in rows
    ]
