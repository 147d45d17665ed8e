"""Resets the second factor of a staff account: for a person whom no colleague can help."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connector_project.operations.management.base import JsonCommand
from tenants import audit, second_factor
from tenants.models import AuditLogEntry, User


class Command(JsonCommand):
    help = "Forget a person's authenticator app and recovery codes, and end their sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *_args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            self.usage_error(f"There is no account “{options['username']}”.")
        had_app = second_factor.reset(user)
        audit.log(None, AuditLogEntry.Action.SECOND_FACTOR_RESET, now=timezone.now(), target=user)
        self.print_json(user=user.username, had_second_factor=had_app)
