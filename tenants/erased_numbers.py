"""Erased phone numbers: what is left of one is a keyed token, which tells whether another number is the same."""

import hashlib
import hmac
from datetime import datetime

from tenants.contact_list import ERASED
from tenants.models.erasure_key import ErasureKey
from tenants.models.tenant import Tenant

DIGITS = 32


def token(tenant_id: int, number: str) -> str:
    """Return the token of a number (digits) of this tenant. One query, and another one for the first number."""
    key, _is_new = ErasureKey.objects.get_or_create(tenant_id=tenant_id)
    return f"{ERASED}{hmac.new(key.key.encode(), number.encode(), hashlib.sha256).hexdigest()[:DIGITS]}"


def remember(tenant: Tenant, number: str, *, now: datetime) -> str:
    """Note that a number was erased, and return its token. Needs the locked tenant."""
    found = token(tenant.pk, number)
    tenant.erased_numbers = tenant.erased_numbers | {found: now.isoformat()}
    tenant.save(update_fields=["erased_numbers"])
    return found


def erased_at(tenant: Tenant, number: str) -> datetime | None:
    """Return when a number was erased; None if it was not. No query for a tenant without erased numbers."""
    if not number or not tenant.erased_numbers:
        return None
    at = tenant.erased_numbers.get(token(tenant.pk, number))
    return datetime.fromisoformat(at) if at else None


def is_erased(tenant: Tenant, number: str, *, began_at: datetime | None) -> bool:
    """Return whether what began then belongs to a number erased since; unknown means that it does.

    A person who calls again after the erasure is a new contact.
    """
    at = erased_at(tenant, number)
    return at is not None and (began_at is None or began_at <= at)
