"""Runs all set-up checks of a client; one line per check that could run."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone, translation

from connector_project.management.output import JsonCommand
from crm import checkup


class Command(JsonCommand):
    help = "Run all checks of a client, and say for each who must act."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant = self.tenant(options["tenant"])
        with translation.override(tenant.language):
            found = checkup.run(tenant, now=timezone.now())
            for finding in found:
                self.say(check=finding.check.code, ok=finding.is_ok, says=finding.says, who=finding.check.who)
            not_run = sorted(set(checkup.CHECKS) - {finding.check.code for finding in found})
        if not_run:
            self.stderr.write(f"Could not be checked yet: {', '.join(not_run)}.")
