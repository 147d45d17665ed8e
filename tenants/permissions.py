"""Decides whether a user sees full phone numbers of customers."""

import re
from collections.abc import Callable
from typing import Any

from connector_project.core import phone_numbers
from tenants import contact_list
from tenants.models import ApiKey

FULL_NUMBERS_PERMISSION = "tenants.view_full_numbers"


def can_see_full_numbers(reader: Any) -> bool:
    """Return whether this user or API key may see full numbers; support staff see them masked.

    A client's key shows the client's own data; a staff key what its maker may see today. None is the service itself.
    """
    if reader is None:
        return True
    if isinstance(reader, ApiKey):
        maker = reader.created_by
        return reader.tenant_id is not None or (maker is not None and can_see_full_numbers(maker))
    return bool(reader.has_perm(FULL_NUMBERS_PERMISSION))


def masked_list(text: str) -> str:
    """Mask each entry of a list of contacts, also one that is masked already; the token of an erased one stays."""
    return "\n".join(_masked(entry) for entry in contact_list.split(text))


def _masked(entry: str) -> str:
    if entry.startswith(contact_list.ERASED) or "***" in entry:
        return entry
    end = contact_list.MASK if entry.endswith(contact_list.MASK) else ""
    return phone_numbers.mask(re.sub(r"\D", "", entry)) + end


def number_formatter(user: Any) -> Callable[[str], str]:
    """Return the function that formats a normalised number for this user."""
    return phone_numbers.e164 if can_see_full_numbers(user) else phone_numbers.mask
