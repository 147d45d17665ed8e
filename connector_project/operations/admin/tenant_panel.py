"""The panel on top of a client's page: status, responsible, actions, last check results."""

from datetime import datetime
from typing import Any

from connector_project.core.check_results import CheckResult
from connector_project.operations import tenant_status
from connector_project.operations.admin import bulk_action_pages
from connector_project.operations.admin.audit_log import actor
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from connector_project.operations.alerts import denials, incidents
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation
from telephony.checks.account import ADDRESS_LIST
from telephony.webhooks import sources
from tenants import account_claims, audit, outbound_addresses
from tenants.datetime_display import format_short
from tenants.models import AuditLogEntry, CheckRun, Tenant
from tenants.visibility import Reader, visible_to

AUDIT_ROWS = 20
SHOWN_STATES = {Activation.State.RUNNING, Activation.State.FAILED}  # of an activation


def build_panel(tenant: Tenant, *, reader: Reader, may_act: bool, now: datetime) -> dict[str, Any]:
    """Return the panel of a client loaded by `tenant_status.with_status`."""
    activity = tenant_status.recent_activity([tenant], now=now)[tenant.pk]
    last: CheckRun | None = getattr(tenant, "check_run", None)
    row: Activation | None = getattr(tenant, "activation", None)
    results = runner.stored_results(last)
    found = sources.learned(tenant)
    until = tenant.activation_expires_at if tenant.has_activation_link(now=now) else None
    return {
        "status": tenant_status.describe(tenant, activity=activity, now=now),
        "denied": [one for connection in (tenant.uis, tenant.crm) for one in denials.of_connection(connection)],
        "sharing": visible_to(account_claims.find_sharing(tenant), reader),
        "activity": activity,
        "crm_outdated_since": format_short(tenant, tenant.crm.module_outdated_since, now=now),
        "asked_at": format_short(tenant, tenant.approval_asked_at, now=now),
        "last_event": format_short(tenant, activity.last_event_at, now=now),
        "link_until": format_short(tenant, until, now=now),
        "actions": [action for action in TENANT_ACTIONS.values() if may_act and not action.refusal(tenant, now)],
        "outbound_addresses": outbound_addresses.to_allow(),
        "is_address_refused": _is_address_refused(tenant, row, results),
        "checked_at": format_short(tenant, last.checked_at if last else None, now=now),
        "is_checking": runner.is_running(last, now=now),
        "failed": [result for result in results if not result.ok],
        "passed": [result for result in results if result.ok],
        "not_seen": runner.not_run(results),
        "steps": activation.lines(row, is_on=False) if row and row.state in SHOWN_STATES else [],
        "open_import": bulk_action_pages.open_import(tenant),
        "audit_log": _audit_log(tenant, now=now),
        "sources": found,
        "is_pinned": bool(tenant.uis.expected_sources),
        "has_unexpected_source": any(not source.is_expected for source in found),
        "may_act": may_act,
        "incidents": incidents.active().filter(tenant=tenant).count(),
    }


def _is_address_refused(tenant: Tenant, row: Activation | None, results: list[CheckResult]) -> bool:
    """Return whether UIS does not answer our address, as the denial, the activation or the last check says."""
    failure = activation.failure(row)
    failed = [failure] if failure else [one for one in results if not one.ok]
    is_denied = any(one.is_address_refused for one in denials.of_connection(tenant.uis))
    return is_denied or any(one.check == ADDRESS_LIST for one in failed)


def _audit_log(tenant: Tenant, *, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "at": format_short(tenant, entry.at, now=now),
            "actor": actor(entry),
            "action": entry.get_action_display(),
            "entry": audit.render(entry),
        }
        for entry in AuditLogEntry.objects.filter(tenant=tenant).select_related("user")[:AUDIT_ROWS]
    ]
