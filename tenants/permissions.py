"""Decides whether a user sees full phone numbers of customers."""

import re
from collections.abc import Callable
from typing import Any

from connector_project.core import phone_numbers
from tenants import erased_numbers

FULL_NUMBERS_PERMISSION = "tenants.view_full_numbers"


def can_see_full_numbers(user: Any) -> bool:
    """Return whether this user may see full numbers; support staff see them masked."""
    return bool(user.has_perm(FULL_NUMBERS_PERMISSION))


def masked_list(text: str) -> str:
    """Mask each line of a list of numbers, also one that is masked already; the token of an erased one stays."""
    return "\n".join(_masked_line(line) for line in text.splitlines())


def _masked_line(line: str) -> str:
    if erased_numbers.is_token(line) or "***" in line:
        return line
    return phone_numbers.mask(re.sub(r"\D", "", line))


def number_formatter(user: Any) -> Callable[[str], str]:
    """Return the function that formats a normalised number for this user."""
    return phone_numbers.e164 if can_see_full_numbers(user) else phone_numbers.mask
