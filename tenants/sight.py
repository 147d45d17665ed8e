"""Who may see a customer's number whole."""

import re
from collections.abc import Callable
from typing import Any

from connector_project import phones

WHOLE_NUMBERS = "tenants.see_whole_numbers"


def may_see_whole(user: Any) -> bool:
    """Say whether this person is shown whole numbers; support staff see the middle masked."""
    return bool(user.has_perm(WHOLE_NUMBERS))


def masked_list(text: str) -> str:
    """Return numbers that were typed one a line, each with its middle hidden."""
    return "\n".join(phones.masked(re.sub(r"\D", "", line)) for line in text.splitlines())


def shown_to(user: Any) -> Callable[[str], str]:
    """Return how a number, in our digits, is written for this person."""
    return phones.e164 if may_see_whole(user) else phones.masked
