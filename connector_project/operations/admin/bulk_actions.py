"""Admin of bulk actions: list, progress page and cancelling."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin
from connector_project.core.redaction import redact
from connector_project.operations.admin.bulk_action_views import MAY, TITLES, describe_filters
from telephony import bulk_actions
from telephony.models import BulkAction
from tenants import datetime_display

PAGE, PART = "admin/telephony/bulkaction/detail.html", "admin/telephony/bulkaction/_progress.html"


@admin.register(BulkAction)
class BulkActionAdmin(ReadOnlyAdmin):
    list_display = ("requested", "kind", "requested_by", "shown_reason", "total", "done", "skipped", "state")
    list_filter = ("kind", "state")
    list_select_related = ("requested_by",)
    show_facets = admin.ShowFacets.NEVER

    def get_urls(self) -> list[URLPattern]:
        views = {"cancel": self.cancel_view, "live": self.live_view}
        urls = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"telephony_bulkaction_{name}")
            for name, view in views.items()
        ]
        return [*urls, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the progress page."""
        bulk_action = self._get_bulk_action(request, int(object_id) if object_id.isdecimal() else 0)
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        own = {
            "title": TITLES[bulk_action.kind],
            "filters": describe_filters(bulk_action.kind, bulk_action.filters),
            **self._context(request, bulk_action),
        }
        return TemplateResponse(request, PAGE, shared | own)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the part of the page that is polled for progress."""
        return TemplateResponse(request, PART, self._context(request, self._get_bulk_action(request, pk)))

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm(MAY):
            raise PermissionDenied
        if bulk_actions.cancel(pk, by=request.user, now=timezone.now()):
            messages.success(request, gettext("Cancelled. What is already done stays done."))
        else:
            messages.warning(request, gettext("It has already ended."))
        return redirect("admin:telephony_bulkaction_change", pk)

    @admin.display(description=_("requested"), ordering="requested_at")
    def requested(self, bulk_action: BulkAction) -> str:
        return datetime_display.format_short(None, bulk_action.requested_at, now=timezone.now())

    @admin.display(description=_("reason"), ordering="reason")
    def shown_reason(self, bulk_action: BulkAction) -> str:
        return redact(bulk_action.reason)

    def _get_bulk_action(self, request: HttpRequest, pk: int) -> BulkAction:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(BulkAction.objects.select_related("requested_by"), pk=pk)

    def _context(self, request: HttpRequest, bulk_action: BulkAction) -> dict[str, Any]:
        return {
            "bulk_action": bulk_action,
            "reason": self.shown_reason(bulk_action),
            "percent": int(bulk_action.share * 100),
            "is_running": bulk_action.state == BulkAction.State.RUNNING,
            "may_act": request.user.has_perm(MAY),
        }
