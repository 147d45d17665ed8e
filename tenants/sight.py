"""Decides whether a user sees full phone numbers of customers."""

import re
from collections.abc import Callable
from typing import Any

from connector_project import phones

WHOLE_NUMBERS = "tenants.see_whole_numbers"


def may_see_whole(user: Any) -> bool:
    """Return whether this user may see full numbers; support staff see them masked."""
    return bool(user.has_perm(WHOLE_NUMBERS))


def masked_list(text: str) -> str:
    """Mask each line of a list of numbers."""
    return "\n".join(phones.masked(re.sub(r"\D", "", line)) for line in text.splitlines())


def shown_to(user: Any) -> Callable[[str], str]:
    """Return the function that formats a normalised number for this user."""
    return phones.e164 if may_see_whole(user) else phones.masked
