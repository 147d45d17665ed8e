"""The alert rules of access: revoked URLs that a system does not have yet, and clients who ask to reconnect."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Responsible
from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.placeholders import Placeholders
from connector_project.operations.alerts.rule import Context, Rule
from connector_project.operations.models import Incident
from telephony.models import Notification
from tenants.models import CrmConnection, Tenant, UisConnection

UIS, CRM = "UIS", "CRM"
NOT_TOLD_AFTER = timedelta(minutes=15)


class RevokedUrls(Rule):
    """A client whose webhook URL was revoked, until a notification arrives at the new one; a CRM without our URLs."""

    kind = Incident.Kind.REVOKED_URLS
    resolved_text = _("The new URLs are in use.")

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        for pk, since in _UNUSED_URLS.fetch():
            yield self.incident(UIS, pk, since=since)
        for pk, since in _OUTDATED_MODULES.fetch(till=now - NOT_TOLD_AFTER):
            yield self.incident(CRM, pk, since=since)

    def text(self, incident: Incident, context: Context) -> str:
        text = gettext(
            "The webhook URL was revoked at %(moment)s, and nothing has arrived at the new one: no pop-ups open. The "
            "client must enter the new URL in each notification in UIS; their page shows it."
        )
        if incident.reason == CRM:
            text = gettext(
                "The CRM has not taken our new URLs since %(moment)s: a click on a number there starts no call. They "
                "are sent again until it does."
            )
        return text % context

    def responsible(self, incident: Incident) -> Responsible:
        return Responsible.CRM if incident.reason == CRM else Responsible.CLIENT


def _unused_urls(_given: Placeholders) -> Any:
    later = Notification.objects.filter(tenant=OuterRef("tenant"), received_at__gt=OuterRef("hook_revoked_at"))
    revoked = UisConnection.objects.filter(hook_revoked_at__isnull=False, tenant__in=Tenant.objects.live())
    return revoked.filter(~Exists(later)).order_by("tenant").values_list("tenant", "hook_revoked_at")


def _outdated_modules(given: Placeholders) -> Any:
    outdated = CrmConnection.objects.filter(module_outdated_since__lte=given.moment("till"))
    live = outdated.filter(tenant__in=Tenant.objects.live())
    return live.order_by("tenant").values_list("tenant", "module_outdated_since")


_UNUSED_URLS: CompiledSelect[tuple[int, datetime]] = CompiledSelect(_unused_urls)
_OUTDATED_MODULES: CompiledSelect[tuple[int, datetime]] = CompiledSelect(_outdated_modules)


class ReconnectionAsked(Rule):
    """A client whose access an operator has ended, and who opened our module in the CRM or its marketplace."""

    kind = Incident.Kind.RECONNECTION
    resolved_text = _("An operator has decided, or the client's data is deleted.")
    concerns_live_clients = False

    def find(self, clients: Sequence[Tenant], *, now: datetime) -> Iterator[Incident]:
        asked = Tenant.objects.filter(needs_approval=True, approval_asked_at__isnull=False).order_by("pk")
        for pk, since in asked.values_list("pk", "approval_asked_at"):
            yield self.incident("ASKED", pk, since=since)

    def text(self, incident: Incident, context: Context) -> str:
        text = gettext(
            "The client wants to reconnect from the CRM since %(moment)s, but an operator disconnected them or revoked "
            "their link. If they may, press “Allow to reconnect” on the client's page."
        )
        return text % context
