"""The audit log (who changed what) and the access log (who saw a number or played a recording)."""

from django.contrib import admin
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin
from telephony.models import AccessLogEntry
from tenants import audit
from tenants.datetime_display import full_field, full_fields, short_column
from tenants.models import AuditLogEntry


@admin.register(AuditLogEntry)
class AuditLogAdmin(ReadOnlyAdmin):
    """One row per changed value or per action."""

    columns = ("tenant_name", "actor", "what", "what_part", "what_field", "before", "after")
    list_display = (short_column(AuditLogEntry, "at", names_clock=True), *columns)
    list_filter = ("action", "by_client", ("user", admin.RelatedOnlyFieldListFilter), "tenant")
    search_fields = ("tenant_name", "object_repr")
    list_select_related = ("user", "tenant")
    show_facets = admin.ShowFacets.NEVER
    fields = readonly_fields = (full_field(AuditLogEntry, "at"), *columns)

    @admin.display(description=_("by"), ordering="user")
    def actor(self, change: AuditLogEntry) -> str:
        return actor(change)

    @admin.display(description=_("what was done"), ordering="action")
    def what(self, change: AuditLogEntry) -> str:
        return change.get_action_display()

    @admin.display(description=_("of"))
    def what_part(self, change: AuditLogEntry) -> str:
        return audit.render(change).target

    @admin.display(description=_("field"))
    def what_field(self, change: AuditLogEntry) -> str:
        return audit.render(change).field

    @admin.display(description=_("before"))
    def before(self, change: AuditLogEntry) -> str:
        return audit.render(change).old

    @admin.display(description=_("after"))
    def after(self, change: AuditLogEntry) -> str:
        return audit.render(change).new


@admin.register(AccessLogEntry)
class AccessLogAdmin(ReadOnlyAdmin):
    """One row per view of a full number or of a recording."""

    keyset_field = "at"
    columns = ("actor", "kind", "call", "tenant")
    list_display = (short_column(AccessLogEntry, "at", names_clock=True), *columns)
    list_filter = ("kind", ("user", admin.RelatedOnlyFieldListFilter))
    search_fields = ("=call__session_id", "=username")
    list_select_related = ("user", "tenant", "call")
    show_facets = admin.ShowFacets.NEVER
    fields = readonly_fields = (*full_fields(AccessLogEntry, "at", "last_at"), *columns)

    @admin.display(description=_("by"), ordering="username")
    def actor(self, entry: AccessLogEntry) -> str:
        """Return the account, or the masked IP address for access by link."""
        return entry.username or gettext("by link, from %(address)s") % {"address": entry.address or "?"}


def actor(change: AuditLogEntry) -> str:
    if change.by_client:
        return gettext("the client")
    return change.user.get_username() if change.user else "–"
