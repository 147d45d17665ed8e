"""How our commands speak: a JSON object a line on stdout, sentences on stderr; exit 0 done, 1 could not, 2 misused."""

import json
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

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


def sentence(exc: ValidationError) -> str:
    """Return what is wrong, with the field's name where one is to blame."""
    if not hasattr(exc, "error_dict"):
        return " ".join(exc.messages)
    return " ".join(f"{field}: {' '.join(messages)}" for field, messages in exc.message_dict.items())
