"""The page to import past calls: choose a period, preview, start."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import local_dates
from connector_project.operations.admin import call_import_status
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from telephony.models import CallImport
from telephony.reconciliation import call_import
from tenants import datetime_display
from tenants.models import Tenant

NAME = "tenants_tenant_import"
PAGE = "admin/tenants/tenant/call_import.html"
EARLIEST = date(2000, 1, 1)


class PeriodForm(forms.Form):
    """The days to import, inclusive, in the client's zone."""

    first = forms.DateField(label=_("from"))
    last = forms.DateField(label=_("to (inclusive)"))

    def __init__(self, tenant: Tenant, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.today = local_dates.day_of(now, zone=tenant.zone)
        bounds = {"type": "date", "min": EARLIEST.isoformat(), "max": self.today.isoformat()}
        for name, day in zip(("first", "last"), _default_period(tenant, now=now), strict=True):
            self.fields[name].initial = day
            self.fields[name].widget = forms.DateInput(attrs=bounds, format="%Y-%m-%d")

    def clean_first(self) -> date:
        return self._clean_day("first")

    def clean_last(self) -> date:
        return self._clean_day("last")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        first, last = data.get("first"), data.get("last")
        if first and last and last < first:
            self.add_error("last", gettext("The period ends before it starts."))
        elif first and last and last - first >= call_import.MAX_DAYS:
            limit = call_import.MAX_DAYS.days
            message = ngettext(
                "A period has %(days)d day at most. Import the rest afterwards.",
                "A period has %(days)d days at most. Import the rest afterwards.",
                limit,
            )
            self.add_error("last", message % {"days": limit})
        return data

    def _clean_day(self, name: str) -> date:
        day: date = self.cleaned_data[name]
        if day > self.today:
            raise forms.ValidationError(gettext("This day is in the future."))
        if day < EARLIEST:
            raise forms.ValidationError(gettext("Check the year."))
        return day


def _default_period(tenant: Tenant, *, now: datetime) -> tuple[date, date]:
    """Return the default period: the upload window, up to the day of the activation."""
    first = local_dates.day_of(tenant.upload_window_start(now=now), zone=tenant.zone) + local_dates.DAY
    activated = local_dates.day_of(tenant.activated_at or now, zone=tenant.zone)
    today = local_dates.day_of(now, zone=tenant.zone)
    return min(first, today), activated if activated > first else today


class CallImportMixin(admin.ModelAdmin[Tenant]):
    """Adds the page `<client>/import/` and the part of it that is polled."""

    def get_urls(self) -> list[URLPattern]:
        page, live = (self.admin_site.admin_view(view) for view in (self.call_import_view, self.call_import_live_view))
        ours = [
            path("<int:tenant_id>/import/", page, name=NAME),
            path("<int:tenant_id>/import/live/", live, name=f"{NAME}_live"),
        ]
        return [*ours, *super().get_urls()]

    def call_import_view(self, request: HttpRequest, tenant_id: int) -> HttpResponse:
        """Show the last import; on POST run an action and redirect back with a message."""
        tenant = self._client(request, tenant_id)
        form = PeriodForm(tenant, now=timezone.now())
        if request.method == "POST":
            if not self.has_change_permission(request, tenant):
                raise PermissionDenied
            form = PeriodForm(tenant, request.POST, now=timezone.now())
            if request.POST.get("act") in ACTIONS:
                messages.add_message(request, *_act(tenant, request, now=timezone.now()))
                return HttpResponseRedirect(request.path)
            if form.is_valid():
                messages.add_message(request, *_preview(tenant, form, by=request.user, now=timezone.now()))
                return HttpResponseRedirect(request.path)
        return TemplateResponse(request, PAGE, self._call_import_context(request, tenant, form))

    def call_import_live_view(self, request: HttpRequest, tenant_id: int) -> HttpResponse:
        """Show only the part that is polled."""
        tenant = self._client(request, tenant_id)
        context = {"import_status": call_import_status.build_status(tenant, now=timezone.now()), "tenant": tenant}
        return TemplateResponse(request, "admin/tenants/tenant/_call_import_progress.html", context)

    def _client(self, request: HttpRequest, tenant_id: int) -> Tenant:
        tenant = get_object_or_404(Tenant.objects.select_related("uis", "crm"), pk=tenant_id)
        if not self.has_view_permission(request, tenant):
            raise PermissionDenied
        return tenant

    def _call_import_context(self, request: HttpRequest, tenant: Tenant, form: PeriodForm) -> dict[str, Any]:
        now = timezone.now()
        import_status, refusal = (
            call_import_status.build_status(tenant, now=now),
            TENANT_ACTIONS["import"].refusal(tenant, now),
        )
        may_act = self.has_change_permission(request, tenant) and not refusal
        is_open = import_status is not None and import_status.row.state in CallImport.OPEN_STATES
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Import past calls"),
            "tenant": tenant,
            "import_status": import_status,
            "refusal": refusal,
            "notices": [] if refusal else call_import_status.find_notices(tenant),
            "may_act": may_act,
            "form": form if may_act and not is_open else None,
            "upload_window_start": datetime_display.day(tenant, tenant.upload_window_start(now=now)),
        }


Message = tuple[int, str]


def _preview(tenant: Tenant, form: PeriodForm, *, by: Any, now: datetime) -> Message:
    if refusal := TENANT_ACTIONS["import"].refusal(tenant, now):
        return messages.WARNING, str(refusal)
    data = form.cleaned_data
    if not call_import.start_preview(tenant, first=data["first"], last=data["last"], by=by, now=now):
        return _changed()
    return messages.SUCCESS, gettext("Requesting UIS's report. Nothing is stored or sent yet.")


def _act(tenant: Tenant, request: HttpRequest, *, now: datetime) -> Message:
    """Run an action on the displayed import, if it is still possible."""
    pk, (act, message) = request.POST.get("call_import", ""), ACTIONS[request.POST["act"]]
    row = CallImport.objects.filter(tenant=tenant, pk=pk).first() if pk.isdecimal() else None
    if refusal := TENANT_ACTIONS["import"].refusal(tenant, now):
        return messages.WARNING, str(refusal)
    if row is None or not act(row.pk, request.user, now):
        return _changed()
    return messages.SUCCESS, str(message)


def _changed() -> Message:
    return messages.WARNING, gettext("The import has changed in the meantime. This is its current state.")


# The function and the message of each action.
ACTIONS: dict[str, tuple[Callable[[int, Any, datetime], bool], Any]] = {
    "start": (
        lambda pk, by, now: call_import.start_import(pk, by=by, now=now),
        _("The import has started. It runs in the background; you can leave this page."),
    ),
    "preview_again": (
        lambda pk, _by, now: call_import.restart_preview(pk, now=now),
        _("Requesting UIS's report again."),
    ),
    "retry": (lambda pk, _by, now: call_import.retry(pk, now=now), _("Continuing from where it stopped.")),
    "cancel": (lambda pk, by, now: call_import.cancel(pk, by=by, now=now), _("Cancelled.")),
}
