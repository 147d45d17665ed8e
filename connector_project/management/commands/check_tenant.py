"""Look at a client as a whole: one line for each check that could be made."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone, translation

from connector_project.management.output import JsonCommand
from crm import checkup


class Command(JsonCommand):
    help = "Look at everything that can be wrong with a client, and say who must do what."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")

    def handle(self, *_args: Any, **said: Any) -> None:
        tenant = self.tenant(said["tenant"])
        with translation.override(tenant.language):
            found = checkup.run(tenant, now=timezone.now())
            for finding in found:
                self.say(check=finding.check.code, ok=finding.is_ok, says=finding.says, who=finding.check.who)
            unseen = sorted(set(checkup.CHECKS) - {finding.check.code for finding in found})
        if unseen:
            self.stderr.write(f"Could not be looked at yet: {', '.join(unseen)}.")
