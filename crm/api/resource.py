"""What all resources share: a key's own rows only, filters, moments by the client's clock."""

from datetime import UTC
from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins, serializers
from rest_framework.views import exception_handler
from rest_framework.viewsets import GenericViewSet

from crm.api.access import HasKey, KeyAuthentication, KeyThrottle
from crm.api.pages import Pages
from crm.api.queries import Query
from crm.api.schema import ResourceSchema
from tenants.models import ApiToken


class MomentOfClient(serializers.DateTimeField):
    """A moment by the clock of the row's client, with its offset; of no client in particular by UTC."""

    def get_attribute(self, instance: Any) -> Any:
        moment = super().get_attribute(instance)
        return moment and moment.astimezone(instance.tenant.zone if instance.tenant else UTC)

    def to_representation(self, value: Any) -> str:
        said: str = value.isoformat()
        return said


class Row(serializers.ModelSerializer[Any]):
    """One row as it is told; nothing of it can be written."""

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for field in fields.values():
            field.read_only = True
        return fields


class Resource(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Any]):
    """One kind of rows. A subclass names its rows, serializer, query, order and a sentence about them."""

    authentication_classes = [KeyAuthentication]
    permission_classes = [HasKey]
    throttle_classes = [KeyThrottle]
    pagination_class = Pages
    schema = ResourceSchema()
    lookup_value_regex = "[^/]+"  # whatever is no row is answered by us
    query: type[Query] = Query
    order: tuple[str, ...] = ("-id",)
    about: Any = ""

    def get_queryset(self) -> QuerySet[Any]:
        """Return what the key may read: one client's rows, or all for a member of staff."""
        rows = super().get_queryset()
        token = self.request.auth
        if not isinstance(token, ApiToken):  # Only the schema is drawn without one.
            return rows.none()
        return rows if token.tenant_id is None else rows.filter(tenant=token.tenant_id)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.action != "list":
            return queryset
        return queryset.filter(self.query.read(self.request.query_params))

    def get_exception_handler(self) -> Any:
        """Answer 404 as JSON too; elsewhere it looks like any other wrong address."""
        return exception_handler
