"""How our commands speak: a JSON object a line on stdout, sentences on stderr; exit 0 done, 1 could not, 2 misused."""

import json
from datetime import date, datetime, timedelta
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from telephony import days
from tenants.models import Tenant


class JsonCommand(BaseCommand):
    """A command others call from scripts."""

    def say(self, **line: Any) -> None:
        """Print one line of the answer."""
        self.stdout.write(json.dumps(line, ensure_ascii=False, default=str))

    def fail(self, says: str) -> NoReturn:
        """Stop with a sentence: it could not be done."""
        raise CommandError(says, returncode=1)

    def misused(self, says: str) -> NoReturn:
        """Stop with a sentence: it was asked for in a wrong way."""
        raise CommandError(says, returncode=2)

    def tenant(self, slug: str) -> Tenant:
        """Return the client with this short name."""
        tenant = Tenant.objects.select_related("uis", "crm", "rules").filter(slug=slug).first()
        if tenant is None:
            self.misused(f"There is no client with the short name “{slug}”.")
        return tenant

    def period(self, tenant: Tenant, *, since: str, till: str) -> tuple[datetime, datetime]:
        """Read both ends of a period; as its end a day means the day's last moment."""
        begins, ends = self._moment(since, tenant), self._moment(till, tenant, is_end=True)
        if begins >= ends:
            self.misused("The period ends before it begins.")
        return begins, ends

    def _moment(self, text: str, tenant: Tenant, *, is_end: bool = False) -> datetime:
        try:
            if len(text) <= len("2026-11-01"):
                day = date.fromisoformat(text)
                return days.begin(day + timedelta(days=1) if is_end else day, zone=tenant.zone)
            moment = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.misused(f"“{text}” is no date in the form 2026-11-01 or 2026-11-01T09:00+03:00.")
        return moment if moment.tzinfo else moment.replace(tzinfo=tenant.zone)


def add_period(parser: CommandParser) -> None:
    """Add the two options that name a period."""
    parser.add_argument("--from", dest="since", required=True, help="such as 2026-11-01 or 2026-11-01T09:00+03:00")
    parser.add_argument("--till", required=True, help="the same; this moment is no more part of the period")


def sentence(exc: ValidationError) -> str:
    """Return what is wrong, with the field's name where one is to blame."""
    if not hasattr(exc, "error_dict"):
        return " ".join(exc.messages)
    return " ".join(f"{field}: {' '.join(messages)}" for field, messages in exc.message_dict.items())
