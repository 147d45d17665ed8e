"""Clients in the admin: the list, sorted by status, and a client's page; every change is in the audit log."""

from typing import Any, Literal
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import page, state_label, with_column_label, with_responsible
from connector_project.operations import tenant_status
from connector_project.operations.admin import tenant_inlines, tenant_panel
from connector_project.operations.admin.bulk_rule_change import BulkRuleChangeMixin
from connector_project.operations.admin.employee_mapping import MappingMixin
from connector_project.operations.admin.field_map_page import FieldMapMixin
from connector_project.operations.admin.missed_callers import MissedMixin
from connector_project.operations.admin.new_client import NewClientMixin
from connector_project.operations.admin.new_clients import NewClientsMixin
from connector_project.operations.admin.rule_pages import RulePagesMixin, draft_banner
from connector_project.operations.admin.rule_preview_pages import RulePreviewMixin
from connector_project.operations.admin.statistics import StatisticsMixin
from connector_project.operations.admin.tenant_action import TenantAction
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from connector_project.operations.admin.tenant_filters import ProblemFilter, TenantStatusFilter
from connector_project.operations.admin.webhook_sources import WebhookSourcesMixin
from connector_project.operations.tenant_status import StatusReport
from crm import outdated_modules
from tenants import audit, audit_forms, datetime_display, retention, visibility
from tenants.forms import CrmForm, TenantForm
from tenants.models import AuditLogEntry, Tenant


class TenantChangeList(ChangeList):
    """Sorts by status, and loads the status of a page's clients in a fixed number of queries."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return super().get_ordering(request, queryset) if ORDER_VAR in self.params else ["status", "name", "pk"]

    def get_ordering_field_columns(self) -> dict[int, Literal["asc", "desc"]]:
        is_asked = ORDER_VAR in self.params
        return super().get_ordering_field_columns() if is_asked else {self.list_display.index("state"): "asc"}

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now = timezone.now()
        self.result_list: Any = list(self.result_list)
        activities = tenant_status.recent_activity(self.result_list, now=now)
        for tenant in self.result_list:
            tenant.activity = activities[tenant.pk]
            tenant.report = tenant_status.describe(tenant, activity=tenant.activity, now=now)


@admin.register(Tenant)
class TenantAdmin(
    NewClientMixin,
    NewClientsMixin,
    BulkRuleChangeMixin,
    RulePagesMixin,
    FieldMapMixin,
    RulePreviewMixin,
    MappingMixin,
    StatisticsMixin,
    MissedMixin,
    WebhookSourcesMixin,
    tenant_inlines.PartsAdmin,
):
    """The list, a short form for a new client, the page of a client, and its actions."""

    list_display = ("name", "state", "reason", "calls_today", "last_event", "crm_address")
    list_filter = (ProblemFilter, TenantStatusFilter, "uis__brand", "language")
    search_fields = ("name", "slug", "crm__address")
    list_per_page = 50
    list_max_show_all = 50
    actions = ("change_one_rule",)
    form = TenantForm
    times = datetime_display.full_fields(Tenant, "created_at", "activated_at", "offboarded_at")
    readonly_fields = times
    fieldsets = (
        (None, {"fields": ("name", "slug", "language")}),
        (
            _("Business hours and upload window"),
            {
                "fields": (
                    ("time_zone", "home_country"),
                    ("opens_at", "closes_at", "works_weekends"),
                    "upload_window_days",
                )
            },
        ),
        (
            _("Retention"),
            {
                "fields": (retention.FIELDS,),
                "classes": ("collapse",),
                "description": _(
                    "How long this client's data is kept. If empty, as long as in the whole installation: a client may "
                    "have shorter terms only. What is not finished is never deleted."
                ),
            },
        ),
        (_("Lifecycle"), {"fields": (times,), "classes": ("collapse",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        clients = Tenant.objects.select_related("uis", "crm", "rule_version", "check_run", "activation")
        return tenant_status.with_status(clients)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return TenantChangeList

    @admin.display(description=_("state"), ordering="status")
    def state(self, tenant: Any) -> str:
        state = tenant.report.state
        return state_label(state.name.lower(), state.label)

    @admin.display(description=_("reason"))
    def reason(self, tenant: Any) -> str:
        report: StatusReport = tenant.report
        return with_responsible(report.reason, report.responsible) if report.responsible else report.reason

    @admin.display(description=_("calls today"))
    def calls_today(self, tenant: Any) -> str:
        where = reverse("admin:telephony_call_changelist", query={"tenant__id__exact": tenant.pk})
        link = format_html('<a href="{}">{}</a>', where, tenant.activity.calls_today)
        return with_column_label(_("calls today"), link)

    @admin.display(description=_("last event"))
    def last_event(self, tenant: Any) -> str:
        last = datetime_display.format_short(tenant, tenant.activity.last_event_at, now=timezone.now())
        return with_column_label(_("last event"), last) if last else ""

    @admin.display(description=_("CRM"), ordering="crm__address")
    def crm_address(self, tenant: Tenant) -> str:
        return urlsplit(tenant.crm.address).netloc

    def title_of(self, obj: Tenant) -> str:
        return obj.name

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        new = ("name", "language", "time_zone", "home_country", "begins_with")
        return ((None, {"fields": new}),) if obj is None else self.fieldsets

    def get_inlines(self, request: HttpRequest, obj: Tenant | None) -> Any:
        of_new = (tenant_inlines.UisInline, tenant_inlines.CrmInline)
        return (*of_new, tenant_inlines.RulesInline, tenant_inlines.NumberInline) if obj else of_new

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        tenant = kwargs.get("obj")
        if tenant is not None:
            may_act = self.has_change_permission(request, tenant)
            now = timezone.now()
            context["panel"] = tenant_panel.build_panel(tenant, reader=request.user, may_act=may_act, now=now)
            context["banner"] = draft_banner(tenant)
            tenant_inlines.log_contacts(request, context["inline_admin_formsets"], now=now)
        return super().render_change_form(request, context, *args, **kwargs)

    @page("<int:pk>/action/<slug:name>/", name="tenants_tenant_action", permission="tenants.change_tenant")
    def action_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        """Show the confirmation of an action; on POST run it. Either way redirect with the reason if it is refused."""
        action = TENANT_ACTIONS.get(name)
        if action is None or action.page:
            raise Http404
        try:
            is_confirmed = request.method == "POST"
            if not is_confirmed or action.asks_for_slug:
                tenant, typed = _load_allowed(action, pk), request.POST.get("slug", "").strip()
                if not is_confirmed or typed != tenant.slug:
                    return self._ask(request, action, tenant)
            messages.success(request, _run(action, pk, by=request.user, version=request.POST.get("version", "")))
        except ActionNotAllowed as exc:
            messages.warning(request, str(exc))
        return redirect("admin:tenants_tenant_change", pk)

    def _ask(self, request: HttpRequest, action: TenantAction, tenant: Tenant) -> HttpResponse:
        """Show the confirmation of an action; after a wrong short name, again."""
        return self.render_page(
            request,
            "admin/tenants/tenant/action_confirm.html",
            title=action.label,
            action=action,
            tenant=tenant,
            consequences=action.consequences(tenant, timezone.now()),
            version=action.version(tenant),
            is_wrong=request.method == "POST",
        )

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponseBase:  # type: ignore[override]
        """Redirect to the audit log, which also has the values."""
        return redirect(reverse("admin:tenants_auditlogentry_changelist", query={"tenant__id__exact": object_id}))

    def has_delete_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        """Only a tenant that was never activated can be deleted; others are disconnected, which also cleans up."""
        is_unused = obj is not None and obj.activated_at is None and obj.offboarded_at is None
        return is_unused and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        now = timezone.now()
        if not change:
            self.begin(obj, form, now=now)
        super().save_model(request, obj, form, change)
        if not change:
            visibility.add_tenant(request.user, obj)
        audit_forms.log_form(obj, form, is_new=not change, by=request.user, now=now)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        audit_forms.log_formset(form.instance, formset, by=request.user, now=timezone.now())
        for dropped in (one.instance for one in formset.forms if isinstance(one, CrmForm) and one.is_key_dropped):
            audit.log(
                form.instance, AuditLogEntry.Action.KEY_DELETED, now=timezone.now(), by=request.user, target=dropped
            )
            messages.warning(
                request, _("The CRM's host is new, so the stored key is deleted. Enter the key of this account.")
            )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            self.add_rules(request, form)

    def delete_model(self, request: HttpRequest, obj: Tenant) -> None:
        audit.log(obj, AuditLogEntry.Action.REMOVED, now=timezone.now(), by=request.user, target=obj)
        super().delete_model(request, obj)


class ActionNotAllowed(Exception):
    """The action is not possible now; the text says why."""


def _load_allowed(action: TenantAction, pk: int, *, version: str | None = None) -> Tenant:
    rows = Tenant.objects.select_related("uis", "crm", "rule_version", "check_run", "activation")
    tenant = get_object_or_404(rows, pk=pk)
    if refusal := action.refusal(tenant, timezone.now()):
        raise ActionNotAllowed(str(refusal))
    if version is not None and version != action.version(tenant):
        raise ActionNotAllowed(gettext("Somebody else has just done this; nothing was changed again."))
    return tenant


def _run(action: TenantAction, pk: int, *, by: audit.Actor, version: str) -> str:
    """Run the action once, write an audit entry, return a message. Raises ActionNotAllowed."""
    now = timezone.now()
    if action.run_outside_transaction:  # No remote call inside a transaction.
        return action.run_outside_transaction(_load_allowed(action, pk), now, by)
    with transaction.atomic():
        # A concurrent second request waits here, and is then refused.
        get_object_or_404(Tenant.objects.select_for_update(no_key=True), pk=pk)
        tenant = _load_allowed(action, pk, version=version)
        action.handler(tenant, now)
        if action.updates_module:
            outdated_modules.request_registration(tenant, now=now)
        audit.log(tenant, action.audit_action, now=now, by=by)
    return action.done(tenant) if callable(action.done) else str(action.done)
