"""Admin of notifications; the unreadable ones grouped by client and error, with instructions for the client."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin, column, list_filter, page, redacted_column
from connector_project.core.redaction import redact
from telephony.calls import stored_events
from telephony.models import BulkAction, Notification
from telephony.uis import webhook_templates
from telephony.uis.types import Event
from telephony.webhooks import status, unreadable
from telephony.webhooks.unreadable import UnreadableGroup
from tenants.datetime_display import format_short, full_fields, short_column
from tenants.models import Tenant, UisConnection

Kind = BulkAction.Kind


def _redacted(name: str) -> Any:
    return redacted_column(Notification, name, contact=lambda stored: stored_events.contact(stored.parsed_event))


EventFilter = list_filter(_("event"), "event", choices=status.event_choices, condition=lambda event: Q(event=event))


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    keyset_field = "received_at"
    change_list_template = "admin/telephony/notification/change_list.html"
    event = column(Notification, "event", lambda stored: status.event_label(stored.event))
    list_display = (
        short_column(Notification, "received_at", names_clock=True),
        *("tenant", event, "session_id", "outcome", "reason", "repeats"),
    )
    list_filter = ("outcome", "reason", EventFilter, "tenant")
    search_fields = ("=session_id",)
    list_select_related = ("tenant",)
    fields = readonly_fields = (
        *("tenant", *full_fields(Notification, "received_at", "happened_at")),
        column(Notification, "event_in_url", lambda stored: status.event_label(stored.event_in_url)),
        *(event, "session_id", "outcome", "reason", _redacted("detail"), "repeats", "source"),
        *(_redacted("query"), _redacted("body")),
    )

    def title_of(self, obj: Notification) -> str:
        return f"{status.event_label(obj.event) or '?'} {obj.session_id or ''}".strip()

    @page("unreadable/", name="telephony_notification_unreadable")
    def unreadable_view(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        return self.render_page(
            request,
            "admin/telephony/notification/unreadable.html",
            title=gettext("Unreadable notifications"),
            groups=[
                _shown(group, now=now)
                for group in unreadable.groups(reader=request.user, now=now, client=request.GET.get("tenant", ""))
            ],
            days=unreadable.RECENT_PERIOD.days,
            may_act=request.user.has_perm("telephony.change_call"),
        )


def _shown(group: UnreadableGroup, *, now: datetime) -> Mapping[str, Any]:
    """Return the template context of a group."""
    tenant, event = group.newest.tenant, status.event_label(group.event)
    return {
        "group": group,
        "event": event,
        "last": format_short(tenant, group.last_at, now=now),
        "first": format_short(tenant, group.first_at, now=now),
        "messages": [redact(status.fault_message(fault)) for fault in group.faults],
        "code": group.faults[0].code if group.faults else group.newest.reason,
        "instructions": _client_instructions(group),
        "reprocess": reverse("admin:telephony_bulkaction_preview", args=[Kind.REPROCESS], query=group.filters),
        "page": reverse("admin:telephony_notification_change", args=[group.newest.pk]),
    }


def _client_instructions(group: UnreadableGroup) -> str:
    """Return instructions for the client, in their language: where to look in UIS, and what to paste there."""
    with translation.override(group.newest.tenant.language):
        lines = [redact(status.fault_message(fault)) for fault in group.faults]
        if event := group.event:
            title = gettext("In UIS: Notifications → “%(event)s”.") % {
                "event": _event_title(group.newest.tenant, event)
            }
            lines.insert(0, title)
        if group.template:
            lines += [gettext("The whole body must be:"), group.template]
        else:
            lines.append(gettext("The correct URL and body of each event are on your page of the connector."))
        return "\n".join(lines)


def _event_title(tenant: Tenant, event: str) -> str:
    """Return an event's name in the client's UIS web interface, which does not depend on their language."""
    if event not in webhook_templates.EVENTS:
        return event
    title = webhook_templates.title(Event(event))
    return title.english if tenant.uis.brand == UisConnection.Brand.CALLGEAR else title.russian
