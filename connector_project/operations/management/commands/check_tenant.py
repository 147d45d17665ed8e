"""Runs all set-up checks of a client; one line per check that could run."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone, translation

from connector_project.operations.checks import runner
from connector_project.operations.management.base import JsonCommand


class Command(JsonCommand):
    help = "Run all checks of a client, and say for each who must act."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant = self.tenant(options["tenant"])
        with translation.override(tenant.language):
            found = runner.run(tenant, now=timezone.now())
            for result in found:
                self.print_json(
                    check=result.check.code,
                    ok=result.ok,
                    message=result.message,
                    responsible=result.check.responsible,
                )
            not_run = runner.not_run(found)
        if not_run:
            self.stderr.write(f"Could not be checked yet: {', '.join(not_run)}.")
