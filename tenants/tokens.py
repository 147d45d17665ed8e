"""API keys: created, shown once, looked up by their hash, revoked."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User

from tenants.models import ApiToken, Tenant

READS = "telephony.view_call"  # the permission that the creator of a staff key needs
NOTED_EVERY = timedelta(minutes=1)  # precision of "last used": not every request writes the row


def make(tenant: Tenant | None, name: str, *, by: User, now: datetime) -> tuple[ApiToken, str]:
    """Create a key; return its row and the key itself, which is not stored."""
    key = secrets.token_urlsafe(32)
    return ApiToken.objects.create(tenant=tenant, name=name, digest=_digest(key), made_at=now, made_by=by), key


def find(key: str) -> ApiToken | None:
    """Return the row of a valid key; None if it is unknown, revoked, or its owner lost access."""
    known = ApiToken.objects.select_related("tenant", "made_by").filter(digest=_digest(key), revoked_at=None).first()
    return known if known and _may_read(known) else None


def note_use(token: ApiToken, *, now: datetime) -> None:
    """Update "last used", at most once a minute."""
    if token.used_at is None or token.used_at < now - NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(used_at=now)


def revoke(token: ApiToken, *, now: datetime) -> bool:
    """Revoke a key; return whether it was still valid."""
    return ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now) == 1


def revoke_all(tenant: Tenant, *, now: datetime) -> None:
    ApiToken.objects.filter(tenant=tenant, revoked_at=None).update(revoked_at=now)


def _may_read(token: ApiToken) -> bool:
    if token.tenant is not None:
        return token.tenant.left_at is None
    return token.made_by is not None and token.made_by.is_staff and token.made_by.has_perm(READS)


def _digest(key: str) -> str:
    """A plain hash is enough: the key is 256 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()
