"""What the reader of an explanation may see: full or masked numbers, never keys or links."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from connector_project import logs, phones
from tenants import sight

LOCAL = 10  # digits after the country code of Russia, which people also write as 8 or omit


@dataclass(frozen=True)
class Eyes:
    """How numbers, and texts from other systems, are shown to the reader."""

    number: Callable[[str], str]
    text: Callable[[str], str]
    is_whole: bool

    def on(self, number: str) -> "Eyes":
        """Return a redactor that also masks this customer's number in texts, in any spelling."""
        if self.is_whole or phones.masked(number) == number:
            return self
        # A remaining country code reveals nothing.
        written = re.compile(r"[\s().-]*".join(number[-LOCAL:]))
        shown = f"***{number[-4:]}"
        return replace(self, text=lambda text: written.sub(shown, self.text(text)))


MASKED = Eyes(phones.masked, logs.hide, is_whole=False)
WHOLE = Eyes(phones.e164, logs.hide_secrets, is_whole=True)


def of(user: Any) -> Eyes:
    """Return the redactor for a user of the admin."""
    return WHOLE if sight.may_see_whole(user) else MASKED
