"""Employees in the admin, a page for each; their links to CRM users are changed on the mapping page only."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import BaseAdmin, redacted_column
from connector_project.core.admin.edit_forms import EditForm
from connector_project.core.admin.editing import EditAdmin
from telephony import number_search
from tenants import audit_forms, permissions
from tenants.models import Employee, VirtualNumber

OF_ONE_CLIENT = "tenant__id__exact"
NAME = redacted_column(Employee, "full_name")  # It may hold a number.


@admin.register(Employee)
class EmployeeAdmin(BaseAdmin, EditAdmin):
    list_display = (NAME, "extension", "email", "tenant", "crm_user", "linked_by", "caller_id_number", "popup", "works")
    list_filter = ("linked_by", "popup", "is_dismissed")
    list_select_related = ("tenant", "caller_id_number")
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("full_name", "=extension", "email", "tenant__name")
    form = EditForm
    edited = ("caller_id_number", "popup")
    fields = ("tenant", "full_name", "extension", "email", "crm_user", "linked_by", *edited, "works")
    readonly_fields = (NAME, "tenant", "full_name", "extension", "email", "crm_user", "linked_by", "works")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # Employees come from UIS.

    def has_delete_permission(self, request: HttpRequest, obj: Employee | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == OF_ONE_CLIENT or super().lookup_allowed(lookup, value, request)

    def get_fields(self, request: HttpRequest, obj: Employee | None = None) -> Any:
        if permissions.can_see_full_numbers(request.user):
            return self.fields
        return tuple(NAME if field == "full_name" else field for field in self.fields)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Find each part of the term in one of `search_fields`; by the digits of a name only who sees them."""
        for part in search_term.split():
            of_person = number_search.name_condition(part, request.user) | Q(extension=part) | Q(email__icontains=part)
            queryset = queryset.filter(of_person | Q(tenant__name__icontains=part))
        return queryset, False

    def title_of(self, obj: Employee) -> str:
        return str(obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Offer only numbers of the employee's client."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if field := form.base_fields.get("caller_id_number"):
            field.queryset = VirtualNumber.objects.filter(tenant=obj.tenant_id)
        return form

    @admin.display(description=_("CRM user"), ordering="crm_user_id")
    def crm_user(self, employee: Employee) -> str:
        where = reverse("admin:tenants_tenant_employee_mapping", args=[employee.tenant_id])
        return format_html('<a href="{}">{}</a>', where, employee.crm_user_id or "–")

    @admin.display(description=_("works in UIS"), boolean=True)
    def works(self, employee: Employee) -> bool:
        return not employee.is_dismissed

    def save_model(self, request: HttpRequest, obj: Employee, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit_forms.log_form(obj.tenant, form, is_new=False, by=request.user, now=timezone.now())
