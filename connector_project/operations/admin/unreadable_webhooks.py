"""Admin page of unreadable notifications, grouped by client and error, with instructions for the client."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from connector_project.core.redaction import redact
from telephony.models import BulkAction
from telephony.uis import webhook_templates
from telephony.uis.types import Event
from telephony.webhooks import status, unreadable
from telephony.webhooks.unreadable import UnreadableGroup
from tenants import datetime_display
from tenants.models import Tenant, UisConnection

PAGE = "admin/telephony/notification/unreadable.html"


class UnreadableMixin(admin.ModelAdmin[Any]):
    """Adds the page `unreadable/` to the notification admin."""

    def get_urls(self) -> list[URLPattern]:
        name = "telephony_notification_unreadable"
        url = path("unreadable/", self.admin_site.admin_view(self.unreadable_view), name=name)
        return [url, *super().get_urls()]

    def unreadable_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        groups = [shown(group, now=now) for group in unreadable.groups(now=now, client=request.GET.get("tenant", ""))]
        own = {"title": _("Unreadable notifications"), "groups": groups, "days": unreadable.RECENT_PERIOD.days}
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        own["may_act"] = request.user.has_perm("telephony.change_call")
        return TemplateResponse(request, PAGE, shared | own)


def shown(group: UnreadableGroup, *, now: Any) -> Mapping[str, Any]:
    """Return the template context of a group."""
    event = status.event_label(group.event) if group.event else ""
    url = reverse("admin:telephony_bulkaction_preview", args=[BulkAction.Kind.REPROCESS])
    return {
        "group": group,
        "event": event,
        "last": datetime_display.format_short(group.tenant, group.last_at, now=now),
        "first": datetime_display.format_short(group.tenant, group.first_at, now=now),
        "messages": [redact(status.fault_message(fault)) for fault in group.faults],
        "code": group.faults[0].code if group.faults else group.reason,
        "instructions": client_instructions(group),
        "reprocess": f"{url}?{urlencode(group.filters)}",
        "page": reverse("admin:telephony_notification_change", args=[group.newest.pk]),
    }


def client_instructions(group: UnreadableGroup) -> str:
    """Return instructions for the client, in their language: where to look in UIS, and what to paste there."""
    with translation.override(group.tenant.language):
        lines = [redact(status.fault_message(fault)) for fault in group.faults]
        if event := group.event:
            title = _("In UIS: Notifications → “%(event)s”.") % {"event": _event_title(group.tenant, event)}
            lines.insert(0, title)
        if group.template:
            lines += [_("The whole body must be:"), group.template]
        else:
            lines.append(_("The correct URL and body of each event are on your page of the connector."))
        return "\n".join(lines)


def _event_title(tenant: Tenant, event: str) -> str:
    """Return an event's name in the client's UIS web interface, which does not depend on their language."""
    if event not in webhook_templates.EVENTS:
        return event
    title = webhook_templates.title(Event(event))
    return title.english if tenant.uis.brand == UisConnection.Brand.CALLGEAR else title.russian
