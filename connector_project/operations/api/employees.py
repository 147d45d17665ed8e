"""The employees resource: employees with their UIS and CRM IDs."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connector_project.core import phone_numbers
from connector_project.core.filters import ConditionFilter, IntegerFilter, PatternFilter
from connector_project.operations.api.base import Resource, Row
from connector_project.operations.api.filters import ResourceFilterSet
from tenants.models import Employee

FLAGS = ("true", "false", "True", "False", "1", "0")


class EmployeeFilterSet(ResourceFilterSet):
    uis_id = IntegerFilter()
    crm_user_id = IntegerFilter()
    extension = PatternFilter(regex=r"^[0-9]{1,20}$")
    is_dismissed = extend_schema_field(OpenApiTypes.BOOL)(
        ConditionFilter({word: (word, Q(is_dismissed=word.lower() in ("true", "1"))) for word in FLAGS})
    )


class EmployeeRow(Row):
    """An employee."""

    full_name = serializers.SerializerMethodField()
    numbers = serializers.SerializerMethodField()

    class Meta:
        model = Employee
        fields = (
            *("id", "tenant", "uis_id", "full_name", "email", "extension", "numbers", "crm_user_id", "linked_by"),
            *("is_dismissed", "uis_status"),
        )

    def get_numbers(self, employee: Employee) -> list[str]:
        return [number if self.sees_full_numbers else phone_numbers.mask(number) for number in employee.numbers]

    def get_full_name(self, employee: Employee) -> str:
        return self.shown_text(employee.full_name)


class Employees(Resource):
    summary = _("Employees with their UIS and CRM IDs.")
    queryset: Any = Employee.objects.select_related("tenant").order_by("id")
    serializer_class = EmployeeRow
    filterset_class = EmployeeFilterSet
