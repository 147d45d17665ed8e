"""Previews of rules in the admin: choose days, watch the progress, read what the draft would have changed."""

from datetime import date, datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import local_dates
from connector_project.core.admin.base import BaseAdmin, page
from connector_project.operations import preview_counts, rule_previews
from connector_project.operations.admin import rule_preview_texts
from connector_project.operations.models import RulePreview
from telephony import access_log
from tenants import datetime_display, permissions, retention, rule_versions
from tenants.models import Tenant

CHANGE = "tenants.change_tenant"
SHOWN = 20  # the newest previews
TOO_LONG = _("A preview takes %(days)d days at most.")


class PreviewForm(forms.Form):
    """The days to replay, both included, by the client's clock. `seen` names the draft that the page has shown."""

    first = forms.DateField(label=_("from"))
    last = forms.DateField(label=_("to (inclusive)"))
    seen = forms.CharField(widget=forms.HiddenInput, max_length=100)

    def __init__(self, tenant: Tenant, *args: Any, seen: str, now: datetime) -> None:
        super().__init__(*args)
        today = local_dates.day_of(now, zone=tenant.zone)
        earliest = min(retention.first_day(tenant, now=now), today)
        too_old = _("Calls are kept since %(day)s.") % {"day": date_format(earliest, datetime_display.DAY)}
        self.fields["seen"].initial = seen
        bounds = {"type": "date", "min": earliest.isoformat(), "max": today.isoformat()}
        for name in ("first", "last"):
            self.fields[name].initial = rule_previews.yesterday(tenant, now=now)
            self.fields[name].widget = forms.DateInput(attrs=bounds, format="%Y-%m-%d")
            self.fields[name].validators = [
                MinValueValidator(earliest, too_old),
                MaxValueValidator(today, _("This day is in the future.")),
            ]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        first: date | None = data.get("first")
        last: date | None = data.get("last")
        if first and last and last < first:
            self.add_error("last", _("The period ends before it starts."))
        elif first and last and (last - first).days >= rule_previews.MOST_DAYS:
            self.add_error("last", TOO_LONG % {"days": rule_previews.MOST_DAYS})
        return data


class RulePreviewMixin(BaseAdmin):
    @page("<int:tenant_id>/rules/preview/", name="tenants_tenant_rules_preview")
    def rule_previews_view(self, request: HttpRequest, tenant_id: int) -> HttpResponseBase:
        """List the previews of a client; an operator starts another one of the draft as it is."""
        tenant, now = _load(tenant_id), timezone.now()
        may_start = request.user.has_perm(CHANGE)
        if request.method == "POST" and not may_start:
            raise PermissionDenied
        seen = rule_versions.stamp(tenant.draft)
        form = PreviewForm(tenant, request.POST if request.method == "POST" else None, seen=seen, now=now)
        if form.is_bound and form.is_valid():
            try:
                preview = rule_previews.start(tenant.draft, **form.cleaned_data, by=request.user, now=now)
            except ValidationError as exc:
                form.add_error(None, exc)
            else:
                return redirect("admin:tenants_tenant_rule_preview", tenant_id, preview.pk)
        rows = RulePreview.objects.filter(tenant=tenant).select_related("requested_by").defer("rules", "result")
        context = {
            "form": form if may_start else None,
            "differs": rule_versions.is_drafting(tenant.draft, tenant),
            "previews": [_line(tenant, row, now=now) for row in rows[:SHOWN]],
        }
        return self._preview_page(request, "previews", tenant, gettext("Previews of the draft"), **context)

    @page("<int:tenant_id>/rules/preview/<int:preview_id>/", name="tenants_tenant_rule_preview")
    def rule_preview_view(self, request: HttpRequest, tenant_id: int, preview_id: int) -> HttpResponseBase:
        """Show the progress, or what the draft would have changed; log the access to full numbers."""
        tenant, now = _load(tenant_id), timezone.now()
        preview = _preview(tenant, preview_id)
        sees_numbers = permissions.can_see_full_numbers(request.user)
        number, samples = permissions.number_formatter(request.user), []
        if not preview.is_active:
            samples = rule_preview_texts.samples(preview, number=number, sees_numbers=sees_numbers, now=now)
        calls = {line["call"] for line in samples if line.get("call") and not line["is_gone"]}
        if sees_numbers and calls and isinstance(request.user, get_user_model()):
            address = request.META.get("REMOTE_ADDR", "")
            access_log.note_numbers(tenant, calls, by=request.user, address=address, now=now)
        context = {
            "preview": preview,
            "line": _line(tenant, preview, now=now),
            "counts": rule_preview_texts.describe(preview),
            "is_unusual": preview_counts.share_of(preview.result).is_unusual,
            "share": preview_counts.share_of(preview.result),
            "samples": samples,
            "is_of_draft": _is_of_draft(tenant, preview),
            "may_cancel": request.user.has_perm(CHANGE) and preview.is_active,
            "may_publish": request.user.has_perm(CHANGE),
        }
        return self._preview_page(request, "preview", tenant, gettext("Preview of the draft"), **context)

    @page(
        "<int:tenant_id>/rules/preview/<int:preview_id>/cancel/",
        name="tenants_tenant_rule_preview_cancel",
        permission=CHANGE,
        post_only=True,
    )
    def cancel_rule_preview_view(self, request: HttpRequest, tenant_id: int, preview_id: int) -> HttpResponseBase:
        preview = _preview(_load(tenant_id), preview_id)
        if rule_previews.cancel(preview, now=timezone.now()):
            messages.success(request, gettext("The preview is cancelled."))
        return redirect("admin:tenants_tenant_rule_preview", tenant_id, preview_id)

    def _preview_page(
        self, request: HttpRequest, name: str, tenant: Tenant, title: str, **context: Any
    ) -> HttpResponseBase:
        shown = {"tenant": tenant, "current": tenant.current_version, **context}
        return self.render_page(request, f"admin/tenants/rules/{name}.html", title=title, **shown)


def latest_of_draft(tenant: Tenant) -> dict[str, Any] | None:
    """Return the newest finished preview of exactly the draft of this client, as the Publish page shows it."""
    preview = rule_previews.latest(tenant, tenant.draft.value(), base=tenant.draft.based_on_id)
    if preview is None:
        return None
    preview.tenant = tenant
    return {
        "preview": preview,
        "days": rule_previews.describe_days(preview),
        "counts": preview.counts["call"]["counts"],
    }


def _load(tenant_id: int) -> Any:
    rows = Tenant.objects.select_related("uis", "crm", "rule_version", "draft__based_on", "draft__edited_by")
    tenant = get_object_or_404(rows, pk=tenant_id)
    tenant.draft.tenant = tenant
    return tenant


def _preview(tenant: Tenant, pk: int) -> RulePreview:
    rows = RulePreview.objects.filter(tenant=tenant).select_related("requested_by", "rule_version")
    preview = get_object_or_404(rows, pk=pk)
    preview.tenant = tenant
    return preview


def _is_of_draft(tenant: Tenant, preview: RulePreview) -> bool:
    same = rule_previews.latest(tenant, tenant.draft.value(), base=tenant.draft.based_on_id)
    return same is not None and same.pk == preview.pk


def _line(tenant: Tenant, preview: RulePreview, *, now: datetime) -> dict[str, Any]:
    preview.tenant = tenant
    return {
        "row": preview,
        "days": rule_previews.describe_days(preview),
        "requested": datetime_display.format_short(tenant, preview.requested_at, now=now),
        "ended": datetime_display.format_short(tenant, preview.ended_at, now=now),
    }
