"""The audit log (who changed what) and the access log (who saw a number or played a recording)."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.readonly import ReadOnlyAdmin
from telephony.models import Look
from tenants import clock, journal
from tenants.models import Change


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    """One row per changed value or per action."""

    columns = ("tenant_name", "who", "what", "what_part", "what_field", "before", "after")
    list_display = (clock.short(Change, "at", names_clock=True), *columns)
    list_filter = ("verb", "is_client", ("user", admin.RelatedOnlyFieldListFilter), "tenant")
    search_fields = ("tenant_name", "part")
    list_select_related = ("user", "tenant")
    show_facets = admin.ShowFacets.NEVER
    fields = readonly_fields = (clock.whole(Change, "at"), *columns)

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False

    @admin.display(description=_("by"), ordering="user")
    def who(self, change: Change) -> str:
        return who(change)

    @admin.display(description=_("what was done"), ordering="verb")
    def what(self, change: Change) -> str:
        return change.get_verb_display()

    @admin.display(description=_("of"))
    def what_part(self, change: Change) -> str:
        return journal.told(change).part

    @admin.display(description=_("field"))
    def what_field(self, change: Change) -> str:
        return journal.told(change).field

    @admin.display(description=_("before"))
    def before(self, change: Change) -> str:
        return journal.told(change).old

    @admin.display(description=_("after"))
    def after(self, change: Change) -> str:
        return journal.told(change).new


@admin.register(Look)
class LookAdmin(ReadOnlyAdmin):
    """One row per view of a full number or of a recording."""

    newest_by = "at"
    columns = ("who", "kind", "call", "tenant")
    list_display = (clock.short(Look, "at", names_clock=True), *columns)
    list_filter = ("kind", ("user", admin.RelatedOnlyFieldListFilter))
    search_fields = ("=call__session_id", "=username")
    list_select_related = ("user", "tenant", "call")
    show_facets = admin.ShowFacets.NEVER
    fields = readonly_fields = (clock.whole(Look, "at"), clock.whole(Look, "last_at"), *columns)

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False

    @admin.display(description=_("by"), ordering="username")
    def who(self, look: Look) -> str:
        """Return the account, or the masked IP address for access by link."""
        return look.username or gettext("by link, from %(address)s") % {"address": look.address or "?"}


def who(change: Change) -> str:
    if change.is_client:
        return gettext("the client")
    return change.user.get_username() if change.user else "–"
