"""Base classes of all resources: only the key's own rows, filters, datetimes in the client's time zone."""

from datetime import UTC
from typing import Any

from django.db import models
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import mixins, serializers
from rest_framework.views import exception_handler
from rest_framework.viewsets import GenericViewSet

from connector_project.operations.api.authentication import KeyAuthentication, KeyThrottle
from connector_project.operations.api.pagination import KeysetPagination
from connector_project.operations.api.schema import ResourceSchema
from tenants.models import ApiKey


class TenantDateTimeField(serializers.DateTimeField):
    """A datetime in the client's time zone with its offset; in UTC for rows without a client."""

    def get_attribute(self, instance: Any) -> Any:
        moment = super().get_attribute(instance)
        return moment and moment.astimezone(instance.tenant.zone if instance.tenant else UTC)

    def to_representation(self, value: Any) -> str:
        text: str = value.isoformat()
        return text


class Row(serializers.ModelSerializer[Any]):
    """A read-only row of a client."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: TenantDateTimeField,
    }
    tenant = serializers.SlugField(source="tenant.slug")

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for field in fields.values():
            field.read_only = True
        return fields


class Resource(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Any]):
    """A read-only resource. A subclass sets its ordered queryset, serializer, filter set and summary."""

    authentication_classes = [KeyAuthentication]
    throttle_classes = [KeyThrottle]
    pagination_class = KeysetPagination
    filter_backends = [DjangoFilterBackend]
    schema = ResourceSchema()
    lookup_value_regex = "[^/]+"  # so that an invalid ID gets our JSON 404
    summary: Any = ""  # not `description`, which as_view() overwrites

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows the key may read: one client's, or all for a staff key."""
        rows = super().get_queryset()
        token = self.request.auth
        if not isinstance(token, ApiKey):  # Schema generation has no key.
            return rows.none()
        return rows if token.tenant_id is None else rows.filter(tenant=token.tenant_id)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def get_exception_handler(self) -> Any:
        """Answer 404 as JSON; outside the API the project's handler hides it."""
        return exception_handler
