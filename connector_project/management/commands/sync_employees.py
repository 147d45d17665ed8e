"""Syncs employees from UIS now and links CRM users to them."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connector_project import remote
from connector_project.management.output import JsonCommand
from crm import users
from telephony import clients, employees
from tenants.models import Tenant


class Command(JsonCommand):
    help = "Sync employees, numbers and statuses from UIS, and link CRM users to them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", default="", help="the short name; default: all active clients")

    def handle(self, *_args: Any, **options: Any) -> None:
        live = Tenant.objects.select_related("uis", "crm", "rules").filter(activated_at__isnull=False, is_paused=False)
        errors = [
            error
            for tenant in ([self.tenant(options["tenant"])] if options["tenant"] else live)
            if (error := self._sync(tenant))
        ]
        if errors:
            self.fail("\n".join(errors))

    def _sync(self, tenant: Tenant) -> str:
        """Sync one client; return the error, if any, so that the others are still synced."""
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
