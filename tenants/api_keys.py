"""API keys: created, shown once, looked up by their hash, revoked."""

from datetime import UTC, date, datetime, timedelta

from connector_project.core.secret_tokens import digest, generate_token
from tenants.models import ApiKey, Tenant, User

REQUIRED_PERMISSION = "telephony.view_call"  # the permission that the creator of a staff key needs
LAST_USED_PRECISION = timedelta(minutes=1)  # not every request writes "last used"


def create(
    tenant: Tenant | None, name: str, *, valid_until: date | None = None, by: User, now: datetime
) -> tuple[ApiKey, str]:
    """Create a key; return its row and the key itself, which is not stored."""
    key = generate_token()
    row = ApiKey(tenant=tenant, name=name, valid_until=valid_until, created_at=now, created_by=by)
    row.digest = digest(key)
    row.save()
    return row, key


def find(key: str, *, now: datetime) -> ApiKey | None:
    """Return the row of a valid key; None if it is unknown, revoked, past its end, or its owner lost access."""
    known = ApiKey.objects.select_related("tenant", "created_by").filter(digest__of=key).first()
    return known if known and known.is_valid(today=now.astimezone(UTC).date()) and _may_read(known) else None


def touch(token: ApiKey, *, now: datetime) -> None:
    """Update "last used", at most once a minute."""
    if token.last_used_at is None or token.last_used_at < now - LAST_USED_PRECISION:
        ApiKey.objects.filter(pk=token.pk).update(last_used_at=now)


def revoke(token: ApiKey, *, now: datetime) -> bool:
    """Revoke a key; return whether it was still valid."""
    return ApiKey.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now) == 1


def revoke_all(tenant: Tenant, *, now: datetime) -> None:
    ApiKey.objects.filter(tenant=tenant, revoked_at=None).update(revoked_at=now)


def _may_read(token: ApiKey) -> bool:
    if token.tenant is not None:
        return token.tenant.offboarded_at is None
    return token.created_by is not None and token.created_by.is_staff and token.created_by.has_perm(REQUIRED_PERMISSION)
