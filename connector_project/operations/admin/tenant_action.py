"""What an action of a client's page is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from tenants.audit import Actor
from tenants.models import AuditLogEntry, Tenant

Refusal = tuple[Callable[[Tenant, datetime], object], Text]  # when an action is refused, and why


@dataclass(frozen=True, kw_only=True)
class TenantAction:
    """One action on a client. Its functions take the client and the current time."""

    name: str
    label: Text
    audit_action: AuditLogEntry.Action
    refusals: tuple[Refusal, ...]  # the first that applies is shown
    handler: Callable[[Tenant, datetime], object] = lambda _tenant, _now: None
    done: Text | Callable[[Tenant], str] = ""  # shown afterwards
    updates_module: bool = False  # it changes a URL that our module in the CRM contains
    # What the confirmation page was shown for: an action confirmed on an outdated page is refused.
    version: Callable[[Tenant], str] = lambda _tenant: ""
    # Instead of `handler`: calls the CRM, writes its own audit entry, returns what was done.
    run_outside_transaction: Callable[[Tenant, datetime, Actor], str] | None = None
    warnings: tuple[Text, ...] = ()  # shown on a confirmation page; without them there is none
    consequences: Callable[[Tenant, datetime], Sequence[str]] = lambda _tenant, _now: ()  # further warnings, in figures
    asks_for_slug: bool = False  # the short name must be typed
    confirm: Text = ""  # label of the confirm button, if it is not that of the action
    css_class: str = "quiet"  # style: "main", "quiet" or "danger"
    page: str = ""  # URL name of the page that the button opens instead of running

    def refusal(self, tenant: Tenant, now: datetime) -> Text:
        """Return why the action is not possible now; empty if it is."""
        return next((text for applies, text in self.refusals if applies(tenant, now)), "")


OFFBOARDED = _("The client is disconnected.")
IF_OFFBOARDED: Refusal = (lambda tenant, _now: tenant.offboarded_at, OFFBOARDED)
