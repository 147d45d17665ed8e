"""Staff users."""

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin

from connector_project.core.admin.password_forms import ChangePassword


@admin.register(get_user_model())
class StaffUserAdmin(UserAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    change_password_form = ChangePassword
