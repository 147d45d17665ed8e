"""Admin of bulk actions: list, preview, and the page of one action with its progress and buttons."""

from collections.abc import Collection, Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin, page, redacted_column
from connector_project.core.admin.pagination import AFTER, BEFORE
from connector_project.operations.admin import bulk_action_pages
from connector_project.operations.admin.bulk_action_forms import EventForm, PeriodForm, ReasonForm
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from telephony import bulk_actions
from telephony.calls import filters
from telephony.models import BulkAction, Notification
from telephony.webhooks import unreadable
from tenants import datetime_display
from tenants.models import Tenant

Kind = BulkAction.Kind
PREVIEW, PROGRESS = "admin/telephony/bulkaction/preview.html", "admin/telephony/bulkaction/progress.html"
FILTERS: Mapping[str, Collection[str]] = {
    Kind.RETRY: filters.CallFilterSet.base_filters.keys(),
    Kind.SKIP: filters.CallFilterSet.base_filters.keys(),
    Kind.REPROCESS: {unreadable.CLIENT, unreadable.ADDRESS, unreadable.REASON},
}
WITHOUT_EVENT = {Notification.Reason.NO_EVENT, Notification.Reason.UNKNOWN_EVENT}
# What a person may do with an action, and the message when it is done.
STEPS: Mapping[str, Any] = {
    "start": _("The import has started. It runs in the background; you can leave this page."),
    "preview": _("Requesting UIS's report again."),
    "resume": _("Continuing from where it stopped."),
    "cancel": _("Cancelled. What is already done stays done."),
}
CHANGED = _("The action has changed in the meantime. This is its current state.")


@admin.register(BulkAction)
class BulkActionAdmin(ReadOnlyAdmin):
    list_display = (
        datetime_display.short_column(BulkAction, "requested_at"),
        *(
            "kind",
            "tenant",
            "requested_by",
            redacted_column(BulkAction, "comment"),
            "total",
            "done",
            "unchanged",
            "status",
        ),
    )
    list_filter = ("kind", "state", "tenant")
    list_select_related = ("tenant", "requested_by")
    show_facets = admin.ShowFacets.NEVER

    @page("preview/<slug:kind>/", name="telephony_bulkaction_preview")
    def preview_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """Preview an action on the rows that the query string selects; POST starts it."""
        if kind not in FILTERS:
            raise Http404
        if not _may_act(request, kind):
            raise PermissionDenied
        without_nul = {name: str(value).replace("\0", "") for name, value in request.GET.items()}
        params = {name: value for name, value in without_nul.items() if name not in {AFTER, BEFORE}}
        # For notifications an empty address is a filter too.
        chosen = params if kind == Kind.REPROCESS else filters.chosen_filters(params)
        if chosen.keys() - FILTERS[kind]:
            raise Http404  # An ignored unknown filter would match all rows.
        form, model = _form(request, kind, chosen), "notification" if kind == Kind.REPROCESS else "call"
        back = reverse(f"admin:telephony_{model}_changelist")
        if request.method == "POST" and form.is_valid():
            data = dict(form.cleaned_data)
            comment = data.pop("reason", "")
            action = bulk_actions.start(kind, chosen | data, comment=comment, by=request.user, now=timezone.now())
            if action is not None:
                return redirect("admin:telephony_bulkaction_change", action.pk)
            messages.warning(request, gettext("No rows match, or too many: change the filters."))
            return redirect(back)
        return self.render_page(request, PREVIEW, form=form, back=back, **bulk_action_pages.preview(kind, chosen))

    @page("import/<int:tenant_id>/", name="telephony_bulkaction_import")
    def import_view(self, request: HttpRequest, tenant_id: int) -> HttpResponseBase:
        """Choose the days to import; POST starts the preview. An open import has its own page."""
        tenant = get_object_or_404(Tenant.objects.select_related("uis", "crm"), pk=tenant_id)
        if not self.has_view_permission(request):
            raise PermissionDenied
        now, may_act = timezone.now(), _may_act(request, Kind.IMPORT)
        form, refusal = PeriodForm(tenant, request.POST or None, now=now), TENANT_ACTIONS["import"].refusal(tenant, now)
        action = BulkAction.objects.open().filter(tenant=tenant).first()
        if form.is_bound:
            if not may_act:
                raise PermissionDenied
            if refusal or action:
                messages.warning(request, str(refusal or CHANGED))
            elif form.is_valid():
                action = bulk_actions.preview_import(tenant, **form.cleaned_data, by=request.user, now=now)
                messages.success(request, gettext("Requesting UIS's report. Nothing is stored or sent yet."))
        if action is not None:
            return redirect("admin:telephony_bulkaction_change", action.pk)
        page = bulk_action_pages.import_hints(tenant, now=now) | {"submit": gettext("Preview the import")}
        return self.render_page(request, PREVIEW, form=form if may_act else None, **page)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the progress, or what a previewed import would do."""
        action = self._get_action(request, int(object_id) if object_id.isdecimal() else 0)
        template = PREVIEW if action.state == BulkAction.State.PREVIEWED else PROGRESS
        form = forms.Form() if _may_act(request, action.kind) else None
        return self.render_page(request, template, form=form, **bulk_action_pages.describe(action, now=timezone.now()))

    @page("<int:pk>/step/<slug:name>/", name="telephony_bulkaction_step")
    def step_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        """Start, preview again, resume or cancel an action, if that is still possible."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        action = self._get_action(request, pk)
        if not _may_act(request, action.kind):
            raise PermissionDenied
        if name not in STEPS:
            raise Http404
        now = timezone.now()
        if refusal := TENANT_ACTIONS["import"].refusal(action.tenant, now) if action.tenant else "":
            messages.warning(request, str(refusal))
        elif not bulk_actions.take_step(pk, name, by=request.user, now=now):
            messages.warning(request, CHANGED)
        else:
            messages.success(request, STEPS[name])
            if name == "cancel" and action.is_preview:
                return redirect("admin:telephony_bulkaction_import", action.tenant_id)
        return redirect("admin:telephony_bulkaction_change", pk)

    def _get_action(self, request: HttpRequest, pk: int) -> BulkAction:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = BulkAction.objects.select_related("tenant__uis", "tenant__crm", "requested_by")
        return get_object_or_404(rows, pk=pk)


def _may_act(request: HttpRequest, kind: str) -> bool:
    """Support may repeat or skip what is here already, but not import."""
    return request.user.has_perm("tenants.change_tenant" if kind == Kind.IMPORT else "telephony.change_call")


def _form(request: HttpRequest, kind: str, chosen: Mapping[str, str]) -> forms.Form:
    data = request.POST if request.method == "POST" else None
    if kind == Kind.SKIP:
        return ReasonForm(data)
    has_no_event = kind == Kind.REPROCESS and chosen.get("reason") in WITHOUT_EVENT
    return EventForm(data) if has_no_event else forms.Form(data)
