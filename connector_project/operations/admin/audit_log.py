"""The audit log (who changed what) and the access log (who saw a number or played a recording)."""

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin, column
from telephony.models import AccessLogEntry
from tenants import audit
from tenants.datetime_display import full_field, full_fields, short_column
from tenants.models import AuditLogEntry


def actor(change: AuditLogEntry) -> str:
    if change.by_client:
        return gettext("the client")
    return change.user.get_username() if change.user else "–"


def _rendered(name: str, part: str) -> Any:
    """Return the column of a field in the active language; it cannot be sorted by."""
    shown = column(AuditLogEntry, name, lambda entry: str(getattr(audit.render(entry), part)))
    shown.admin_order_field = None
    return shown


@admin.register(AuditLogEntry)
class AuditLogAdmin(ReadOnlyAdmin):
    """One row per changed value or per action."""

    columns = (
        *("tenant_name", column(AuditLogEntry, "user", actor), "what"),
        *(_rendered("object_repr", "target"), _rendered("field", "field")),
        *(_rendered("old", "old"), _rendered("new", "new")),
    )
    list_display = (short_column(AuditLogEntry, "at", names_clock=True), *columns)
    list_filter = ("action", "by_client", ("user", admin.RelatedOnlyFieldListFilter), "tenant")
    search_fields = ("tenant_name", "object_repr")
    list_select_related = ("user", "tenant")
    fields = readonly_fields = (full_field(AuditLogEntry, "at"), *columns)

    @admin.display(description=_("what was done"), ordering="action")
    def what(self, change: AuditLogEntry) -> str:
        return change.get_action_display()


@admin.register(AccessLogEntry)
class AccessLogAdmin(ReadOnlyAdmin):
    """One row per view of a full number or of a recording, per search for a number, and per API key and day."""

    keyset_field = "at"
    columns = ("actor", "kind", "session", "tenant", "detail", "count")
    list_display = (short_column(AccessLogEntry, "at", names_clock=True), *columns)
    list_filter = ("kind", ("user", admin.RelatedOnlyFieldListFilter))
    search_fields = ("=call__session_id", "=session_id", "=username")
    list_select_related = ("user", "tenant", "call", "api_key")
    fields = readonly_fields = (*full_fields(AccessLogEntry, "at", "last_at"), *columns)

    @admin.display(description=_("by"), ordering="username")
    def actor(self, entry: AccessLogEntry) -> str:
        """Return the account, the API key, or the masked IP address for access by link."""
        if entry.api_key is not None:
            return " ".join(filter(None, [gettext("API key “%(name)s”") % {"name": entry.api_key}, entry.username]))
        return entry.username or gettext("by link, from %(address)s") % {"address": entry.address or "?"}
