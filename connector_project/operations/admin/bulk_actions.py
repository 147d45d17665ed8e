"""Admin of bulk actions: list, preview, and the page of one action with its progress and buttons."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin, page, redacted_column
from connector_project.core.untrusted_input import parse_id
from connector_project.operations.admin import bulk_action_pages
from connector_project.operations.admin.bulk_action_forms import (
    EventForm,
    ImportChoiceForm,
    PeriodForm,
    PreviewForm,
    PreviewReasonForm,
)
from connector_project.operations.admin.call_list import chosen_filters, searches
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from telephony import bulk_action_rows, bulk_actions
from telephony.models import BulkAction
from telephony.webhooks import unreadable
from tenants import datetime_display
from tenants.models import Tenant

Kind = BulkAction.Kind
PREVIEW, PROGRESS = "admin/telephony/bulkaction/preview.html", "admin/telephony/bulkaction/progress.html"
# What a person may do with an action, and the message when it is done.
STEPS: Mapping[str, Any] = {
    "start": _("The import has started. It runs in the background; you can leave this page."),
    "preview": _("Requesting UIS's report again."),
    "resume": _("Continuing from where it stopped."),
    "cancel": _("Cancelled. What is already done stays done."),
}
CHANGE_FILTERS = _("No rows match, or too many: change the filters.")
CHANGED = _("The action has changed in the meantime. This is its current state.")


@admin.register(BulkAction)
class BulkActionAdmin(ReadOnlyAdmin):
    list_display = (
        datetime_display.short_column(BulkAction, "requested_at"),
        *("kind", "tenant", "requested_by", redacted_column(BulkAction, "comment")),
        *("total", "done", "unchanged", "status"),
    )
    list_filter = ("kind", "state", "tenant")
    list_select_related = ("tenant", "requested_by")

    @page("preview/<slug:kind>/", name="telephony_bulkaction_preview", permission="telephony.change_call")
    def preview_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """Preview an action on the rows that the query string selects; POST of that page starts it."""
        if kind not in bulk_action_rows.ROW_ACTIONS:
            raise Http404
        chosen, now = chosen_filters(request), timezone.now()
        found = bulk_action_rows.filter_set(kind, chosen, reader=request.user, admit=searches(request).admit)
        if chosen.keys() - found.filters.keys():
            raise Http404
        back = reverse(f"admin:telephony_{found.queryset.model._meta.model_name}_changelist")
        form = _form(request, kind, chosen, newest=bulk_action_rows.newest(found.qs), now=now)
        if form.is_valid() and (previewed := form.previewed()):
            data = form.cleaned_data
            comment = data.pop("reason", "")
            action = bulk_actions.start(
                kind, chosen | data, comment=comment, previewed=previewed, by=request.user, now=now
            )
            if action is not None:
                return redirect("admin:telephony_bulkaction_change", action.pk)
            is_narrowed = bulk_action_rows.is_narrowed(chosen)
            messages.warning(request, CHANGE_FILTERS if is_narrowed else bulk_action_pages.UNFILTERED)
            return redirect(back)
        return self.render_page(
            request, PREVIEW, form=form, back=back, **bulk_action_pages.preview(kind, found, by=request.user)
        )

    @page("import/<int:tenant_id>/", name="telephony_bulkaction_import")
    def import_view(self, request: HttpRequest, tenant_id: int) -> HttpResponseBase:
        """Choose the days to import; POST starts the preview. An open import has its own page."""
        tenant = get_object_or_404(Tenant.objects.select_related("uis", "crm"), pk=tenant_id)
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
        self.require(request)
        action = self._get_action(request, parse_id(object_id))
        is_previewed = action.state == BulkAction.State.PREVIEWED
        template = PREVIEW if is_previewed else PROGRESS
        steps = ImportChoiceForm(counts=action.counts_by_choice) if is_previewed else forms.Form()
        form = steps if _may_act(request, action.kind) else None
        context = bulk_action_pages.describe(action, reader=request.user, now=timezone.now())
        return self.render_page(request, template, form=form, **context)

    def _get_action(self, request: HttpRequest, pk: int | None) -> BulkAction:
        rows = self.get_queryset(request).select_related("tenant__uis", "tenant__crm", "requested_by")
        action: BulkAction = get_object_or_404(rows, pk=pk)
        return action

    @page("<int:pk>/step/<slug:name>/", name="telephony_bulkaction_step", post_only=True)
    def step_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        """Start, preview again, resume or cancel an action, if that is still possible."""
        action = self._get_action(request, pk)
        if not _may_act(request, action.kind):
            raise PermissionDenied
        if name not in STEPS:
            raise Http404
        now, form = timezone.now(), ImportChoiceForm(request.POST)
        if refusal := TENANT_ACTIONS["import"].refusal(action.tenant, now) if action.tenant else "":
            messages.warning(request, str(refusal))
        elif not form.is_valid() or not bulk_actions.take_step(
            pk, name, seen=request.POST.get("seen", ""), choice=form.chosen(), by=request.user, now=now
        ):
            messages.warning(request, CHANGED)
        else:
            messages.success(request, STEPS[name])
            if name == "cancel" and action.is_preview:
                return redirect("admin:telephony_bulkaction_import", action.tenant_id)
        return redirect("admin:telephony_bulkaction_change", pk)


def _may_act(request: HttpRequest, kind: str) -> bool:
    """Support may repeat or skip what is here already, but not import."""
    return request.user.has_perm("tenants.change_tenant" if kind == Kind.IMPORT else "telephony.change_call")


def _form(request: HttpRequest, kind: str, chosen: Mapping[str, str], *, newest: int, now: datetime) -> PreviewForm:
    data = request.POST if "previewed_at" in request.POST else None
    is_without_event = chosen.get("reason") in unreadable.WITHOUT_EVENT
    form = PreviewReasonForm if kind == Kind.SKIP else EventForm if is_without_event else PreviewForm
    return form(data, newest=newest, now=now)
