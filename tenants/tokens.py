"""Keys of our API: made once, shown once, known again by their hash, revoked for good."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User

from tenants.models import ApiToken, Tenant

READS = "telephony.view_call"  # what a member of staff must be allowed for his key to read anything
NOTED_EVERY = timedelta(minutes=1)  # how exact "last used" is: a row is not written for each request


def make(tenant: Tenant | None, name: str, *, by: User, now: datetime) -> tuple[ApiToken, str]:
    """Make a key; return its row, and the key itself, which nobody sees again."""
    key = secrets.token_urlsafe(32)
    return ApiToken.objects.create(tenant=tenant, name=name, digest=_digest(key), made_at=now, made_by=by), key


def find(key: str) -> ApiToken | None:
    """Return the row of a key that may read; None for one that is unknown, revoked, or whose owner is gone."""
    known = ApiToken.objects.select_related("tenant", "made_by").filter(digest=_digest(key), revoked_at=None).first()
    return known if known and _may_read(known) else None


def note_use(token: ApiToken, *, now: datetime) -> None:
    """Remember that it was used."""
    if token.used_at is None or token.used_at < now - NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(used_at=now)


def revoke(token: ApiToken, *, now: datetime) -> bool:
    """Take a key away; say whether it was still good."""
    return ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now) == 1


def revoke_all(tenant: Tenant, *, now: datetime) -> None:
    """Take away all keys of a client."""
    ApiToken.objects.filter(tenant=tenant, revoked_at=None).update(revoked_at=now)


def _may_read(token: ApiToken) -> bool:
    if token.tenant is not None:
        return token.tenant.left_at is None
    return token.made_by is not None and token.made_by.is_staff and token.made_by.has_perm(READS)


def _digest(key: str) -> str:
    """A plain hash will do: the key is 256 random bits, nobody guesses it."""
    return hashlib.sha256(key.encode()).hexdigest()
