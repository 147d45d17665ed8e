"""Bring employees from UIS and link the CRM's users to them, now."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connector_project import remote
from connector_project.management.output import JsonCommand
from crm import users
from telephony import clients, employees
from tenants.models import Tenant


class Command(JsonCommand):
    help = "Bring employees, numbers and statuses from UIS and link the CRM's users to them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", default="", help="short name; without it all active clients")

    def handle(self, *_args: Any, **said: Any) -> None:
        live = Tenant.objects.select_related("uis", "crm", "rules").filter(activated_at__isnull=False, is_paused=False)
        wrong = [
            error
            for tenant in ([self.tenant(said["tenant"])] if said["tenant"] else live)
            if (error := self._sync(tenant))
        ]
        if wrong:
            self.fail("\n".join(wrong))

    def _sync(self, tenant: Tenant) -> str:
        """Sync one client; return what went wrong, so that the others are still synced."""
        now = timezone.now()
        try:
            employees.save(tenant, employees.fetch(clients.uis_client(tenant.uis)), now=now)
            linked = users.link(tenant, now=now)
        except remote.RemoteError as exc:
            return f"{tenant.slug}: {exc.system}: {exc}"
        self.say(
            tenant=tenant.slug,
            employees=linked.employees,
            crm_users=linked.crm_users,
            linked=linked.linked,
            unlinked=linked.unlinked,
        )
        return ""
