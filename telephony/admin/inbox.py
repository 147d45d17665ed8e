"""Admin of notifications."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from connector_project.logs import hide
from connector_project.readonly import ReadOnlyAdmin
from telephony import lamps
from telephony.admin.unreadable import UnreadableMixin
from telephony.models import Notification
from telephony.uis.types import Event
from tenants import clock


class WhichEvent(admin.SimpleListFilter):
    title = _("event")
    parameter_name = "event"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [(event.value, lamps.event_word(event)) for event in Event]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        return queryset.filter(event=self.value()) if self.value() else queryset


@admin.register(Notification)
class NotificationAdmin(UnreadableMixin, ReadOnlyAdmin):
    newest_by = "received_at"
    change_list_template = "admin/telephony/notification/change_list.html"
    list_display = (
        clock.short(Notification, "received_at", names_clock=True),
        *("tenant", "shown_event", "session_id", "outcome", "reason", "repeats"),
    )
    list_filter = ("outcome", "reason", WhichEvent, "tenant")
    search_fields = ("=session_id",)
    list_select_related = ("tenant",)
    fields = readonly_fields = (
        *("tenant", clock.whole(Notification, "received_at"), clock.whole(Notification, "happened_at")),
        *("event_in_address", "shown_event", "session_id", "outcome", "reason"),
        *("shown_detail", "repeats", "shown_query", "shown_body"),
    )

    def title_of(self, obj: Notification) -> str:
        return f"{self.shown_event(obj) or '?'} {obj.session_id or ''}".strip()

    @admin.display(description=_("event"), ordering="event")
    def shown_event(self, stored: Notification) -> str:
        return lamps.event_word(stored.event)

    @admin.display(description=_("event in the URL"))
    def event_in_address(self, stored: Notification) -> str:
        return lamps.event_word(stored.path_event)

    @admin.display(description=_("detail"))
    def shown_detail(self, stored: Notification) -> str:
        return hide(stored.detail)

    @admin.display(description=_("query"))
    def shown_query(self, stored: Notification) -> str:
        return hide(stored.query)

    @admin.display(description=_("body"))
    def shown_body(self, stored: Notification) -> str:
        return hide(stored.body)

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False
