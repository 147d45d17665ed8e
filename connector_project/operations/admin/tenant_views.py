"""Views of the client admin: confirm and run an action, change one rule for many clients."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.operations.admin import bulk_rule_change, tenant_action_handlers, tenant_actions
from tenants.models import Tenant


class TenantActionsMixin(admin.ModelAdmin[Tenant]):
    """Adds a page for each action; GET shows the confirmation."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.action_view)
        return [path("<int:pk>/action/<slug:name>/", view, name="tenants_tenant_action"), *super().get_urls()]

    def action_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        tenant = get_object_or_404(Tenant.objects.select_related("uis", "crm", "check_run", "activation"), pk=pk)
        action = tenant_actions.TENANT_ACTIONS.get(name)
        if action is None or action.page:
            raise Http404
        if not self.has_change_permission(request, tenant):
            raise PermissionDenied
        back = redirect("admin:tenants_tenant_change", pk)
        if request.method != "POST":
            refusal = action.refusal(tenant, timezone.now())
            if not refusal:
                return _page(self, request, "action_confirm", title=action.label, action=action, tenant=tenant)
            messages.warning(request, str(refusal))
            return back
        try:
            messages.success(request, tenant_actions.run(action, pk, by=request.user, now=timezone.now()))
        except tenant_action_handlers.ActionNotAllowed as exc:
            messages.warning(request, str(exc))
        return back


class BulkRuleChangeMixin(admin.ModelAdmin[Tenant]):
    """Adds the action that changes one rule for many clients."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.bulk_rule_change_view)
        return [path("bulk-rule-change/", view, name="tenants_tenant_bulk_rule_change"), *super().get_urls()]

    @admin.action(description=_("Change one rule for the selected clients…"), permissions=["change"])
    def change_one_rule(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> HttpResponse:
        pks = ",".join(str(pk) for pk in queryset.order_by().values_list("pk", flat=True))
        return self._rule_page(request, form=bulk_rule_change.RuleForm(initial={"clients": pks}))

    def bulk_rule_change_view(self, request: HttpRequest) -> HttpResponseBase:
        """Three steps: choose the rule, enter the value, confirm."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        form: bulk_rule_change.RuleForm = bulk_rule_change.RuleForm(request.POST)
        if request.method != "POST" or "clients" in form.errors:
            return redirect("admin:tenants_tenant_changelist")
        if not form.is_valid():
            return self._rule_page(request, form=form)
        rule = form.cleaned_data["rule"]
        if "value" not in request.POST:
            field = bulk_rule_change.ValueForm(rule=rule, initial=form.cleaned_data)
            return self._rule_page(request, form=field, rule=rule)
        form = bulk_rule_change.ValueForm(request.POST, rule=rule)
        if form.is_valid() and "confirm" in request.POST:
            return self._change(request, form)
        return self._rule_page(request, form=form, rule=rule, is_preview=form.is_valid())

    def _change(self, request: HttpRequest, form: bulk_rule_change.RuleForm) -> HttpResponseBase:
        rule, value = form.cleaned_data["rule"], form.cleaned_data["value"]
        count = bulk_rule_change.change(form.pks(), rule, value, by=request.user, now=timezone.now())
        message = ngettext(
            "The rule is changed for %(count)d client.", "The rule is changed for %(count)d clients.", count
        )
        messages.success(request, message % {"count": count})
        return redirect("admin:tenants_tenant_changelist")

    def _rule_page(
        self, request: HttpRequest, *, form: bulk_rule_change.RuleForm, rule: str = "", is_preview: bool = False
    ) -> HttpResponse:
        lines = bulk_rule_change.preview(form.pks(), rule, form.cleaned_data["value"]) if is_preview else []
        chosen = len(str(form["clients"].value()).split(","))
        more = {"rule": rule, "is_preview": is_preview, "lines": lines, "chosen": chosen}
        more |= {"unchanged": chosen - len(lines), "is_vain": is_preview and not lines}
        where = reverse("admin:tenants_tenant_bulk_rule_change")
        return _page(
            self,
            request,
            "bulk_rule_change",
            title=gettext("One rule for many clients"),
            form=form,
            where=where,
            **more,
        )


def _page(site: admin.ModelAdmin[Tenant], request: HttpRequest, name: str, **context: Any) -> TemplateResponse:
    common = site.admin_site.each_context(request) | {"opts": site.model._meta, "media": site.media}
    return TemplateResponse(request, f"admin/tenants/tenant/{name}.html", common | context)
