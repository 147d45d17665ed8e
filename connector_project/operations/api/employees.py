"""The employees resource: employees with their UIS and CRM IDs."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from connector_project.operations.api.base import Resource, Row
from connector_project.operations.api.filters import IdField, Query
from tenants.models import Employee


class EmployeeQuery(Query):
    uis_id = IdField(required=False)
    crm_user_id = IdField(required=False)
    extension = serializers.RegexField(r"^[0-9]{1,20}$", required=False)
    is_dismissed = serializers.BooleanField(required=False)

    conditions = {
        "uis_id": lambda value: Q(uis_id=value),
        "crm_user_id": lambda value: Q(crm_user_id=value),
        "extension": lambda value: Q(extension=value),
        "is_dismissed": lambda value: Q(is_dismissed=value),
    }


class EmployeeRow(Row):
    """An employee."""

    tenant = serializers.SlugField(source="tenant.slug")
    numbers = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Employee
        fields = (
            *("id", "tenant", "uis_id", "full_name", "email", "extension", "numbers", "crm_user_id", "linked_by"),
            *("is_dismissed", "uis_status"),
        )


class Employees(Resource):
    """Employees."""

    summary = _("Employees with their UIS and CRM IDs.")
    queryset: Any = Employee.objects.select_related("tenant")
    serializer_class = EmployeeRow
    query = EmployeeQuery
    order = ("id",)
