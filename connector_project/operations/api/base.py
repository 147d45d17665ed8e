"""Base classes of all resources: only the key's own rows, filters, datetimes in the client's time zone."""

import functools
from datetime import UTC
from typing import Any, cast

from django.db import models
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import mixins, serializers
from rest_framework.exceptions import Throttled
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler
from rest_framework.viewsets import GenericViewSet

from connector_project.core import phone_numbers
from connector_project.core.redaction import redact
from connector_project.operations.api.authentication import KeyAuthentication, KeyThrottle
from connector_project.operations.api.pagination import KeysetPagination
from connector_project.operations.api.schema import ResourceSchema
from telephony import access_log
from telephony.number_search import Searches, SearchLimitReached
from tenants import permissions
from tenants.models import ApiKey
from tenants.visibility import visible_to


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

    @property
    def sees_full_numbers(self) -> bool:
        return permissions.can_see_full_numbers(self.context["request"].auth)

    def shown_number(self, number: str) -> str:
        """Format a number as the key may see it."""
        return phone_numbers.e164(number) if self.sees_full_numbers else phone_numbers.mask(number)

    def shown_text(self, text: str) -> str:
        """Return a text as the key may see it: a name may hold a number."""
        return text if self.sees_full_numbers else redact(text)

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for field in fields.values():
            field.read_only = True
        return fields


class KeyFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Tells the filter set whose key it is."""

    def get_filterset_kwargs(self, request: Request, queryset: QuerySet[Any], view: Any) -> dict[str, Any]:
        more = {"reader": request.auth, "admit": functools.partial(_admit, request)}
        return {**super().get_filterset_kwargs(request, queryset, view), **more}


def _admit(request: Request, text: str) -> None:
    """Log the search for a whole number by a key that reads masked ones; for others, the count of rows is logged."""
    if permissions.can_see_full_numbers(request.auth):
        return
    try:
        Searches(cast(ApiKey, request.auth), address=request.META.get("REMOTE_ADDR", ""), now=timezone.now()).admit(
            text
        )
    except SearchLimitReached as exc:
        raise Throttled(detail=" ".join(exc.messages)) from exc


class MakerMayView(BasePermission):
    """A staff key reads what its maker may view in the admin."""

    message = _("The person who made this key may not view these rows.")

    def has_permission(self, request: Request, view: Any) -> bool:
        key, model = cast(ApiKey, request.auth), view.queryset.model._meta
        permission = f"{model.app_label}.view_{model.model_name}"
        return key.tenant_id is not None or (key.created_by is not None and key.created_by.has_perm(permission))


class Resource(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Any]):
    """A read-only resource. A subclass sets its ordered queryset, serializer, filter set and summary."""

    authentication_classes = [KeyAuthentication]
    permission_classes = [MakerMayView]
    throttle_classes = [KeyThrottle]
    pagination_class = KeysetPagination
    filter_backends = [KeyFilterBackend]
    schema = ResourceSchema()
    lookup_value_regex = "[^/]+"  # so that an invalid ID gets our JSON 404
    summary: Any = ""  # not `description`, which as_view() overwrites

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows the key may read: one client's; for a staff key those that its maker may see."""
        rows = super().get_queryset()
        key = self.request.auth
        return visible_to(rows, key) if isinstance(key, ApiKey) else rows.none()  # Schema generation has no key.

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Log how many rows the key has read."""
        is_read = response.status_code == 200 and self.action in {"list", "retrieve"}
        if is_read and isinstance(request.auth, ApiKey):
            rows = len(response.data["results"]) if self.action == "list" else 1
            access_log.count_reads(request.auth, self.basename, rows, now=timezone.now())
        return super().finalize_response(request, response, *args, **kwargs)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def get_exception_handler(self) -> Any:
        """Answer 404 as JSON; outside the API the project's handler hides it."""
        return exception_handler
