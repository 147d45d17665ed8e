"""Which clients a staff user may see, on the user's page. A user with a set of clients gives nobody more than that."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tenants.models import User
from tenants.visibility import sees_all

FIELDS = ("sees_all_tenants", "visible_tenants")
GREATER_RIGHTS = ("sees_all_tenants", "is_superuser")  # their holders see all clients


class StaffVisibilityMixin(admin.ModelAdmin[Any]):
    filter_horizontal = (*FIELDS[1:], "groups", "user_permissions")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Show the clients before the dates, the last part. The choices are those that the user may give."""
        if obj is None:
            return super().get_fieldsets(request, obj)
        *parts, last = super().get_fieldsets(request, obj)
        return [*parts, (_("Visible clients"), {"fields": FIELDS}), last]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if sees_all(request.user) else (*fields, *GREATER_RIGHTS)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change and not sees_all(request.user):
            obj.sees_all_tenants = False  # The clients are chosen on the next page.
        super().save_model(request, obj, form, change)
