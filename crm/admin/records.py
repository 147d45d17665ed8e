"""What the CRM asked, and the cards we opened there."""

from django.contrib import admin
from django.http import HttpRequest

from connector_project.readonly import ReadOnlyAdmin
from crm.models import Command, Popup


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    """Clicks and statuses."""

    list_display = ("received_at", "tenant", "kind", "employee", "contact", "status", "state", "reason", "session_id")
    list_filter = ("kind", "state", "reason", "tenant")
    search_fields = ("=session_id", "contact__endswith")
    list_select_related = ("tenant", "employee")

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


@admin.register(Popup)
class PopupAdmin(ReadOnlyAdmin):
    """Cards."""

    list_display = (
        "received_at",
        "tenant",
        "employee",
        "direction",
        "contact",
        "state",
        "hangup",
        "sent_at",
        "accepted_at",
    )
    list_filter = ("state", "direction", "tenant")
    search_fields = ("=session_id", "contact__endswith")
    list_select_related = ("tenant", "employee")

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False
