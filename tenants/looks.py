"""Writes down who looked at a whole number, or heard a recording."""

from datetime import datetime

from django.contrib.auth.models import User

from tenants.journal import By
from tenants.models import Look, Tenant


def note(tenant: Tenant, kind: Look.Kind, *, session_id: int, by: By, now: datetime) -> None:
    """Write one look."""
    user = by if isinstance(by, User) else None
    Look.objects.create(tenant=tenant, tenant_name=tenant.name, at=now, user=user, kind=kind, session_id=session_id)
