"""What the CRM may open: each request of the marketplace once, and nothing where an operator has ended the access."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from connector_project.core import logging
from connector_project.core.secret_tokens import digest
from connector_project.operations.models import MarketplaceRegistration
from tenants import audit
from tenants.models import AuditLogEntry, Tenant

# The CRM repeats a request whose answer it did not get within minutes; what comes later is a recorded one.
REPEAT_WITHIN = timedelta(minutes=5)

security = logging.logger("connector.security")


class NotConnected(Exception):
    """The account was not connected. The text is for the user, `status` is the HTTP status for the CRM."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ApprovalNeeded(Exception):
    """An operator has ended the client's access, and must agree before the CRM restores it."""

    def __init__(self, tenant: Tenant) -> None:
        super().__init__(tenant.slug)
        self.tenant = tenant


def require_access(tenant: Tenant) -> None:
    """Raise ApprovalNeeded if an operator has ended this client's access."""
    if tenant.needs_approval:
        raise ApprovalNeeded(tenant)


def repeated_token(signature: str, address: str, *, now: datetime) -> str:
    """Return the one-time token that answered the same request some minutes ago; empty for a new request.

    Raises NotConnected for an older request, one with another address, and one whose client may not return.
    """
    row = MarketplaceRegistration.objects.select_related("tenant").filter(digest__of=signature).first()
    if row is None:
        return ""
    if row.tenant is not None and row.tenant.needs_approval:
        raise waits_for_approval()
    if row.tenant is None or row.address != address or now - row.accepted_at > REPEAT_WITHIN:
        security.warning("marketplace connection that was accepted before", tenant=row.tenant and row.tenant.slug)
        raise NotConnected(_("This request was used before. Press Connect again."))
    return row.one_time_token


def accept(
    tenant: Tenant, signature: str, address: str, *, one_time_token: str, now: datetime
) -> MarketplaceRegistration:
    """Remember a request; return the row, which has another token if it was accepted before. Lock the client first."""
    answer = {"tenant": tenant, "address": address, "accepted_at": now, "one_time_token": one_time_token}
    return MarketplaceRegistration.objects.get_or_create(digest=digest(signature), defaults=answer)[0]


@transaction.atomic
def ask_approval(tenant: Tenant, *, now: datetime) -> None:
    """Note for the operators that the client wants to return; the first request counts."""
    waiting = Tenant.objects.filter(pk=tenant.pk, needs_approval=True, approval_asked_at=None)
    if waiting.update(approval_asked_at=now):
        security.warning("a client whose access has ended wants to return", tenant=tenant.slug)
        audit.log(tenant, AuditLogEntry.Action.RECONNECTION_ASKED, now=now)


def waits_for_approval() -> NotConnected:
    """Return what the client is told."""
    return NotConnected(
        _("The connection was ended by the service. Its operators see your request; connect again when they agree.")
    )
