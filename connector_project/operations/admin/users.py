"""Staff users."""

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin

from connector_project.core.admin.password_forms import ChangePassword
from connector_project.operations.admin.staff_visibility import StaffVisibilityMixin


@admin.register(get_user_model())
class StaffUserAdmin(StaffVisibilityMixin, UserAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    change_password_form = ChangePassword
