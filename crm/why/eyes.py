"""What the reader of an explanation may see: whole numbers, or masked ones. Keys and links nobody."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from connector_project import logs, phones
from tenants import sight

LOCAL = 10  # digits behind the code of Russia, for which people write an 8, or nothing


@dataclass(frozen=True)
class Eyes:
    """How a number is written for the reader, and how a text of somebody else's."""

    number: Callable[[str], str]
    text: Callable[[str], str]
    is_whole: bool

    def on(self, number: str) -> "Eyes":
        """Return the same eyes for a call of this customer: his number is known, however a text may write it."""
        if self.is_whole or phones.masked(number) == number:
            return self
        # What is left of the country's code tells nothing.
        written = re.compile(r"[\s().-]*".join(number[-LOCAL:]))
        shown = f"***{number[-4:]}"
        return replace(self, text=lambda text: written.sub(shown, self.text(text)))


MASKED = Eyes(phones.masked, logs.hide, is_whole=False)
WHOLE = Eyes(phones.e164, logs.hide_secrets, is_whole=True)


def of(user: Any) -> Eyes:
    """Return the eyes of a person at the desk."""
    return WHOLE if sight.may_see_whole(user) else MASKED
