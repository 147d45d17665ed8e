"""The API scopes our key needs, and no more: requested in the marketplace and checked."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Check, CheckResult
from crm.client_factory import takes_statuses
from crm.retailcrm.types import Rights
from tenants.models import Tenant
from tenants.rules import StatusSync

# Scope -> method patterns. An old key has patterns instead of scopes; one is enough, version 4 has other methods.
SCOPES = {
    # Extensions that users entered in our module; registering it.
    "integration_read": ("/api/integration-modules/{code}", "/api/telephony/setting/{code}"),
    "integration_write": ("/api/integration-modules/{code}/edit", "/api/telephony/setting/{code}/edit"),
    "telephony_read": ("/api/telephony/manager",),  # a caller's manager; whether another telephony is active
    "telephony_write": ("/api/telephony/calls/upload",),  # pop-ups and history
    "user_read": ("/api/users",),  # linking employees
    "user_write": ("/api/users/{id}/status",),  # status sync in both directions
    "reference_read": ("/api/settings",),  # the account's time zone: a check of its own
}
# Required for activation; without one of the others only its feature fails.
REQUIRED = ("integration_read", "integration_write", "telephony_write", "user_read")
KEYS = _("CRM: Settings → Integration → API keys.")
_CHECKS = {
    scope: Check(
        code=f"CRM_SCOPE_{scope.upper()}",
        passed=_("The API key has the permission %(scope)s."),
        failed=failed,
        where=KEYS,
    )
    for scope, failed in {
        "integration_read": _("The API key lacks the permission integration_read, needed to read our module."),
        "integration_write": _("The API key lacks the permission integration_write, needed to register our module."),
        "telephony_read": _(
            "The API key lacks the permission telephony_read, needed to assign missed calls to the customer's manager."
        ),
        "telephony_write": _("The API key lacks the permission telephony_write, needed for pop-ups and calls."),
        "user_read": _("The API key lacks the permission user_read, needed to link employees to users."),
        "user_write": _("The API key lacks the permission user_write, needed to send statuses to the CRM."),
    }.items()
}


def required(rights: Rights) -> Iterator[CheckResult]:
    """Check the scopes that an activation needs."""
    return (_check(scope, rights) for scope in REQUIRED)


def needed(tenant: Tenant, rights: Rights) -> Iterator[CheckResult]:
    """Check each scope; the one for statuses only if they are synced to the CRM."""
    sends_statuses = tenant.rules.status_sync == StatusSync.BOTH and takes_statuses(tenant.crm)
    return (_check(scope, rights) for scope in _CHECKS if scope != "user_write" or sends_statuses)


def _check(scope: str, rights: Rights) -> CheckResult:
    """Check a scope; what the CRM does not report counts as granted."""
    return _CHECKS[scope].result(is_ok=not rights.lacks(scope, *SCOPES[scope]), scope=scope)
