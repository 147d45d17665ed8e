"""The rules of a client in the admin: publish or discard the draft, versions and their differences, roll back."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import BaseAdmin, page
from connector_project.core.untrusted_input import parse_id
from connector_project.operations import rule_publishing
from connector_project.operations.admin.rule_preview_pages import latest_of_draft
from connector_project.operations.explain.data import redactor_for
from tenants import permissions, rule_versions
from tenants.datetime_display import format_short
from tenants.models import RuleVersion, Tenant
from tenants.rules import Rules

CHANGE = "tenants.change_tenant"
LONGEST_WHY = 500
VERSIONS_SHOWN = 200  # the newest


class WhyField(forms.CharField):
    """Why rules are published: the version keeps it."""

    def __init__(self) -> None:
        super().__init__(label=_("Why"), max_length=LONGEST_WHY, widget=forms.TextInput({"size": 60}))


class PublishForm(forms.Form):
    """What is published is named by `seen`: what the page has shown."""

    seen = forms.CharField(widget=forms.HiddenInput, max_length=100)
    why = WhyField()


class RulePagesMixin(BaseAdmin):
    @page("<int:tenant_id>/rules/", name="tenants_tenant_rules")
    def rules_view(self, request: HttpRequest, tenant_id: int) -> HttpResponseBase:
        """List the versions; with `from` and `to` the differences of two of them."""
        tenant, now = load_client(tenant_id), timezone.now()
        rows = RuleVersion.objects.filter(tenant=tenant).select_related("published_by")[:VERSIONS_SHOWN]
        redacted = redactor_for(request.user).text
        versions = [
            {
                "number": row.number,
                "at": format_short(tenant, row.published_at, now=now),
                "by": row.published_by,
                "why": redacted(row.why),
            }
            for row in rows
        ]
        context: dict[str, Any] = {"versions": versions, "compared": _compared(request, tenant)}
        return self._rules_page(request, "versions", tenant, gettext("Versions of the rules"), **context)

    @page("<int:tenant_id>/rules/publish/", name="tenants_tenant_rules_publish", permission=CHANGE)
    def publish_rules_view(self, request: HttpRequest, tenant_id: int) -> HttpResponseBase:
        """Show what the draft changes, and publish it when it is confirmed."""
        tenant, now = load_client(tenant_id), timezone.now()
        draft = tenant.draft
        form = PublishForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                version = rule_publishing.publish(
                    draft,
                    **form.cleaned_data,
                    may_skip_all="skip_all" in request.POST,
                    by=request.user,
                    now=now,
                )
            except ValidationError as exc:
                form.add_error(None, exc)
                tenant = load_client(tenant_id)
                draft = tenant.draft
            else:
                return _done(request, tenant, version)
        after = draft.value()
        context = {
            "draft": draft,
            "seen": rule_versions.stamp(draft),
            "is_stale": draft.based_on_id != tenant.rule_version_id,
            "edited_at": format_short(tenant, draft.edited_at, now=now),
            "latest": latest_of_draft(tenant),
        }
        return self._confirm_rules(
            request, "publish", tenant, after, form, title=gettext("Publish the rules"), **context
        )

    @page("<int:tenant_id>/rules/discard/", name="tenants_tenant_rules_discard", permission=CHANGE, post_only=True)
    def discard_rules_view(self, request: HttpRequest, tenant_id: int) -> HttpResponseBase:
        get_object_or_404(Tenant, pk=tenant_id)
        try:
            rule_versions.discard(tenant_id, seen=request.POST.get("seen", ""), by=request.user, now=timezone.now())
        except ValidationError as exc:
            messages.warning(request, " ".join(exc.messages))
            return redirect("admin:tenants_tenant_rules_publish", tenant_id)
        messages.success(request, gettext("The draft is discarded: it equals the current version again."))
        return redirect("admin:tenants_tenant_change", tenant_id)

    @page("<int:tenant_id>/rules/<int:number>/roll-back/", name="tenants_tenant_rules_roll_back", permission=CHANGE)
    def roll_back_view(self, request: HttpRequest, tenant_id: int, number: int) -> HttpResponseBase:
        """Show what an earlier version would change, and publish its rules again when it is confirmed."""
        tenant, now = load_client(tenant_id), timezone.now()
        earlier = get_object_or_404(RuleVersion, tenant=tenant, number=number)
        form = PublishForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                version = rule_publishing.roll_back(
                    tenant,
                    earlier,
                    seen=parse_id(form.cleaned_data["seen"]) or 0,
                    why=form.cleaned_data["why"],
                    may_skip_all="skip_all" in request.POST,
                    by=request.user,
                    now=now,
                )
            except ValidationError as exc:
                form.add_error(None, exc)
                tenant = load_client(tenant_id)
            else:
                return _done(request, tenant, version)
        else:
            form.initial["why"] = gettext("Back to version %(number)s") % {"number": number}
        title = gettext("Back to version %(number)s") % {"number": number}
        seen = tenant.current_version.number
        return self._confirm_rules(request, "roll_back", tenant, earlier.value, form, title=title, seen=seen)

    def _confirm_rules(
        self, request: HttpRequest, template: str, tenant: Tenant, after: Rules, form: PublishForm, **context: Any
    ) -> HttpResponseBase:
        """Show what rules would change, with what stands against publishing them."""
        found = rule_publishing.differences(
            tenant, tenant.rules, after, sees_numbers=permissions.can_see_full_numbers(request.user)
        )
        question = rule_publishing.question(tenant, after, now=timezone.now())
        errors = [text for text in form.non_field_errors() if text != question]
        context |= {"differences": found, "question": question, "form": form, "refusals": errors}
        return self._rules_page(request, template, tenant, context.pop("title"), **context)

    def _rules_page(
        self, request: HttpRequest, name: str, tenant: Tenant, title: str, **context: Any
    ) -> HttpResponseBase:
        may_change = self.has_change_permission(request, tenant)
        shown = {"tenant": tenant, "current": tenant.current_version, "may_change": may_change, **context}
        return self.render_page(request, f"admin/tenants/rules/{name}.html", title=title, **shown)


def draft_banner(tenant: Tenant) -> dict[str, Any]:
    """Return what the page of a client says of their draft."""
    draft = tenant.draft
    draft.tenant = tenant
    if not (is_stale := draft.based_on_id != tenant.rule_version_id):
        draft.based_on = tenant.current_version
    return {
        "number": tenant.current_version.number,
        "differs": rule_versions.is_drafting(draft, tenant),
        "is_stale": is_stale,
        "edited_by": draft.edited_by,
    }


def load_client(tenant_id: int) -> Any:
    """Return the client with the version that decides and the draft; 404 without one."""
    rows = Tenant.objects.select_related("uis", "crm", "rule_version", "draft__based_on", "draft__edited_by")
    tenant = get_object_or_404(rows, pk=tenant_id)
    tenant.draft.tenant = tenant
    return tenant


def _done(request: HttpRequest, tenant: Tenant, version: RuleVersion) -> HttpResponseBase:
    messages.success(request, gettext("Version %(number)s of the rules is published.") % {"number": version.number})
    return redirect("admin:tenants_tenant_change", tenant.pk)


def _compared(request: HttpRequest, tenant: Tenant) -> dict[str, Any] | None:
    """Return the differences of the two versions that the address names; None if it names none."""
    if "from" not in request.GET or "to" not in request.GET:
        return None
    numbers = [parse_id(request.GET[name]) for name in ("from", "to")]
    found = {row.number: row for row in RuleVersion.objects.filter(tenant=tenant, number__in=filter(None, numbers))}
    if not all(number in found for number in numbers):
        raise Http404
    before, after = (found[number or 0] for number in numbers)
    sees_numbers = permissions.can_see_full_numbers(request.user)
    differences = rule_publishing.differences(tenant, before.value, after.value, sees_numbers=sees_numbers)
    return {"before": before.number, "after": after.number, "differences": differences}
