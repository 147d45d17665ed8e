"""The list of calls with what needs both sides; telephony.admin knows the rest of it."""

from django.contrib import admin

from crm.admin.export import ExportMixin
from telephony.admin import CallAdmin
from telephony.models import Call


@admin.register(Call)
class DeskCallAdmin(ExportMixin, CallAdmin):
    """Calls."""
