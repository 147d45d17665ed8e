"""What the reader of an explanation may see: full or masked numbers, never keys or links."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from connector_project.core import phone_numbers, redaction
from tenants import permissions

LOCAL = 10  # digits after the country code of Russia, which people also write as 8 or omit


@dataclass(frozen=True)
class Redactor:
    """How numbers, and texts from other systems, are shown to the reader."""

    number: Callable[[str], str]
    text: Callable[[str], str]
    is_unmasked: bool

    def on(self, number: str) -> "Redactor":
        """Return a redactor that also masks this customer's number in texts, in any spelling."""
        if self.is_unmasked or phone_numbers.mask(number) == number:
            return self
        # A remaining country code reveals nothing.
        spellings = re.compile(r"[\s().-]*".join(number[-LOCAL:]))
        mask = f"***{number[-4:]}"
        return replace(self, text=lambda text: spellings.sub(mask, self.text(text)))


MASKED = Redactor(phone_numbers.mask, redaction.redact, is_unmasked=False)
UNMASKED = Redactor(phone_numbers.e164, redaction.redact_secrets, is_unmasked=True)


def redactor_for(user: Any) -> Redactor:
    """Return the redactor for a user of the admin."""
    return UNMASKED if permissions.can_see_full_numbers(user) else MASKED
