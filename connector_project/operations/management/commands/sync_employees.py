"""Syncs employees from UIS now and links CRM users to them."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connector_project.core import http_client
from connector_project.operations.management.base import JsonCommand
from crm import user_linking
from telephony import client_factory
from telephony.staff import sync
from tenants.models import Tenant


class Command(JsonCommand):
    help = "Sync employees, numbers and statuses from UIS, and link CRM users to them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", default="", help="the short name; default: all active clients")

    def handle(self, *_args: Any, **options: Any) -> None:
        live = Tenant.objects.live().select_related("uis", "crm", "rule_version")
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
            staff = sync.fetch(client_factory.uis_client(tenant.uis))
            sync.save(tenant, staff, now=now)
            sync.record_denials(tenant, staff, now=now)
            linked = user_linking.link(tenant, now=now, is_patient=True)
        except http_client.RemoteError as exc:
            return f"{tenant.slug}: {exc.system}: {exc}"
        self.print_json(tenant=tenant.slug, **asdict(linked))
        return ""
