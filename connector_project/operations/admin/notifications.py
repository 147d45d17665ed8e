"""Admin of notifications."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.core.redaction import redact
from connector_project.operations.admin.unreadable_webhooks import UnreadableMixin
from telephony.models import Notification
from telephony.uis.types import Event
from telephony.webhooks import status
from tenants import datetime_display


class EventFilter(admin.SimpleListFilter):
    title = _("event")
    parameter_name = "event"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [(event.value, status.event_label(event)) for event in Event]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        return queryset.filter(event=self.value()) if self.value() else queryset


@admin.register(Notification)
class NotificationAdmin(UnreadableMixin, ReadOnlyAdmin):
    keyset_field = "received_at"
    change_list_template = "admin/telephony/notification/change_list.html"
    list_display = (
        datetime_display.short_column(Notification, "received_at", names_clock=True),
        *("tenant", "shown_event", "session_id", "outcome", "reason", "repeats"),
    )
    list_filter = ("outcome", "reason", EventFilter, "tenant")
    search_fields = ("=session_id",)
    list_select_related = ("tenant",)
    fields = readonly_fields = (
        *(
            "tenant",
            datetime_display.full_field(Notification, "received_at"),
            datetime_display.full_field(Notification, "happened_at"),
        ),
        *("shown_event_in_url", "shown_event", "session_id", "outcome", "reason"),
        *("shown_detail", "repeats", "shown_query", "shown_body"),
    )

    def title_of(self, obj: Notification) -> str:
        return f"{self.shown_event(obj) or '?'} {obj.session_id or ''}".strip()

    @admin.display(description=_("event"), ordering="event")
    def shown_event(self, stored: Notification) -> str:
        return status.event_label(stored.event)

    @admin.display(description=_("event in the URL"))
    def shown_event_in_url(self, stored: Notification) -> str:
        return status.event_label(stored.event_in_url)

    @admin.display(description=_("detail"))
    def shown_detail(self, stored: Notification) -> str:
        return redact(stored.detail)

    @admin.display(description=_("query"))
    def shown_query(self, stored: Notification) -> str:
        return redact(stored.query)

    @admin.display(description=_("body"))
    def shown_body(self, stored: Notification) -> str:
        return redact(stored.body)
