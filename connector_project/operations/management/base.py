"""The base class of our commands: JSON lines on stdout, messages on stderr; exit code 1 failed, 2 usage error."""

import json
from datetime import date, datetime, timedelta
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from connector_project.core import local_dates
from connector_project.core.redaction import redact
from tenants.models import Tenant


class JsonCommand(BaseCommand):
    """A command for use in scripts."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Take no abbreviated options, and repeat no secrets.

        `--uis-token KEY` would otherwise stand for `--uis-token-file KEY`, whose error shows the key.
        """
        parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)
        refuse = parser.error
        parser.error = lambda message: refuse(_without_values(message))  # type: ignore[method-assign]
        return parser

    def print_json(self, **line: Any) -> None:
        """Print one JSON object as a line on stdout."""
        self.stdout.write(json.dumps(line, ensure_ascii=False, default=str))

    def fail(self, message: str) -> NoReturn:
        """Exit with code 1: the command failed."""
        raise CommandError(message, returncode=1)

    def usage_error(self, message: str) -> NoReturn:
        """Exit with code 2: wrong arguments."""
        raise CommandError(message, returncode=2)

    def tenant(self, slug: str) -> Tenant:
        """Return the client with this short name; exit with code 2 if there is none."""
        tenant = Tenant.objects.select_related("uis", "crm", "rule_version").filter(slug=slug).first()
        if tenant is None:
            self.usage_error(f"There is no client with the short name “{slug}”.")
        return tenant

    def period(self, tenant: Tenant, *, since: str, till: str) -> tuple[datetime, datetime]:
        """Parse both ends of a period; a date as its end means the end of that day."""
        begins, ends = self._moment(since, tenant), self._moment(till, tenant, is_end=True)
        if begins >= ends:
            self.usage_error("The period ends before it begins.")
        return begins, ends

    def _moment(self, text: str, tenant: Tenant, *, is_end: bool = False) -> datetime:
        try:
            if len(text) <= len("2026-11-01"):
                day = date.fromisoformat(text)
                return local_dates.begin(day + timedelta(days=1) if is_end else day, zone=tenant.zone)
            moment = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.usage_error(f"“{text}” is not a date such as 2026-11-01 or 2026-11-01T09:00+03:00.")
        return moment if moment.tzinfo else moment.replace(tzinfo=tenant.zone)


def _without_values(message: str) -> str:
    """Return argparse's message without what was given to options that do not exist: it may be a key."""
    head, unknown, words = message.partition("unrecognized arguments: ")
    names = [word.partition("=")[0] if word.startswith("-") else "***" for word in words.split()]
    return redact(head) + unknown + " ".join(names)


def add_period(parser: CommandParser) -> None:
    parser.add_argument("--from", dest="since", required=True, help="for example 2026-11-01 or 2026-11-01T09:00+03:00")
    parser.add_argument("--till", required=True, help="the same; this moment is not part of the period")


def format_validation_error(exc: ValidationError) -> str:
    """Return the messages, each with the name of its field."""
    if not hasattr(exc, "error_dict"):
        return " ".join(exc.messages)
    return " ".join(f"{field}: {' '.join(messages)}" for field, messages in exc.message_dict.items())
