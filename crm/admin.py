"""What the CRM asked, and the cards we opened there."""

from django.contrib import admin
from django.http import HttpRequest

from crm.models import Command, Popup


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg] -- serves several models
    """Rows that only our own code writes."""

    show_full_result_count = False
    list_per_page = 50
    list_select_related = ("tenant", "employee")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


@admin.register(Command)
class CommandAdmin(ReadOnly):
    """Clicks and statuses."""

    list_display = ("received_at", "tenant", "kind", "employee", "contact", "status", "state", "reason", "session_id")
    list_filter = ("kind", "state", "reason", "tenant")
    search_fields = ("=session_id", "contact__endswith")


@admin.register(Popup)
class PopupAdmin(ReadOnly):
    """Cards."""

    list_display = ("received_at", "tenant", "employee", "direction", "contact", "state", "hangup", "sent_at", "accepted_at")
    list_filter = ("state", "direction", "tenant")
    search_fields = ("=session_id", "contact__endswith")
