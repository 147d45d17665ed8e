"""Which tenants a reader may see. Every list, page, search, export, API and bulk action goes through `visible_to`."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import Q, QuerySet

from tenants.models import ApiKey, Tenant, User

# Who reads: a staff user, an API key, or None: the service itself (a worker, a management command).
Reader = User | AnonymousUser | ApiKey | None
# Rows that belong to no tenant and say nothing about one.
SHARED = {"auth.group", "auth.permission"}
NOTHING = Q(pk__in=[])


def sees_all(reader: Reader) -> bool:
    """Return whether the reader sees all tenants, and the rows of the whole service."""
    if isinstance(reader, ApiKey):
        return reader.tenant_id is None and reader.created_by is not None and sees_all(reader.created_by)
    return reader is None or (isinstance(reader, get_user_model()) and (reader.is_superuser or reader.sees_all_tenants))


def visible_to(rows: QuerySet[Any], reader: Reader) -> QuerySet[Any]:
    """Return the rows of tenants that the reader may see; unchanged for readers who see all.

    A model belongs to a tenant by its field `tenant`, or says by `visible_condition` who sees its rows. Rows of any
    other model, and rows without a tenant, are for readers who see all.
    """
    return rows if sees_all(reader) else rows.filter(_condition(rows.model, reader))


def add_tenant(user: Any, tenant: Tenant) -> None:
    """Let a user with a set of tenants see the one that they have just added."""
    if not sees_all(user):
        user.visible_tenants.add(tenant)


def _condition(model: type[models.Model], reader: Reader) -> Q:
    ids = _tenant_ids(reader)
    if model._meta.label_lower in SHARED:
        return Q()
    if model is Tenant:
        return Q(pk__in=ids)
    if condition := getattr(model, "visible_condition", None):
        own: Q = condition(ids, reader)
        return own
    return Q(tenant__in=ids) if _has_tenant(model) else NOTHING


def _tenant_ids(reader: Reader) -> list[int]:
    match reader:
        case ApiKey(tenant_id=int(pk)):
            return [pk]
        case ApiKey(created_by=user):
            return user.visible_tenant_ids if user else []
        case User():
            return reader.visible_tenant_ids
    return []


def _has_tenant(model: type[models.Model]) -> bool:
    try:
        return model._meta.get_field("tenant").related_model is Tenant
    except FieldDoesNotExist:
        return False
