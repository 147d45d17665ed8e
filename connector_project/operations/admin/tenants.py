"""Clients in the admin: the list, sorted by status, and a client's page."""

from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import with_column_label
from connector_project.operations import tenant_status
from connector_project.operations.admin import tenant_action_handlers, tenant_panel
from connector_project.operations.admin.employee_mapping import MappingMixin
from connector_project.operations.admin.missed_callers import MissedMixin
from connector_project.operations.admin.statistics import StatisticsMixin
from connector_project.operations.admin.tenant_base import TenantAdmin
from connector_project.operations.admin.tenant_filters import ProblemFilter, TenantStatusFilter
from connector_project.operations.admin.tenant_views import BulkRuleChangeMixin, TenantActionsMixin
from connector_project.operations.tenant_status import RecentActivity, StatusReport
from tenants import datetime_display
from tenants.models import Tenant


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
            activity = activities[tenant.pk]
            vars(tenant)["status"] = (tenant_status.describe(tenant, activity=activity, now=now), activity)


@admin.register(Tenant)
class OperatorTenantAdmin(
    TenantActionsMixin, BulkRuleChangeMixin, MappingMixin, StatisticsMixin, MissedMixin, TenantAdmin
):
    list_display = ("name", "state", "reason", "calls_today", "last_event", "crm_address")
    list_filter = (ProblemFilter, TenantStatusFilter, "uis__brand", "language")
    search_fields = ("name", "slug", "crm__address")
    list_per_page = 50
    list_max_show_all = 50
    show_facets = admin.ShowFacets.NEVER
    actions = ("change_one_rule",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        clients = Tenant.objects.select_related("uis", "crm", "check_run", "activation")
        return tenant_status.with_status(clients)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return TenantChangeList

    @admin.display(description=_("state"), ordering="status")
    def state(self, tenant: Tenant) -> str:
        state = _status(tenant)[0].state
        return format_html('<span class="admin-state admin-{}">{}</span>', state.name.lower(), state.label)

    @admin.display(description=_("reason"))
    def reason(self, tenant: Tenant) -> str:
        status = _status(tenant)[0]
        if status.responsible is None:
            return status.reason
        action = _("Action: %(who)s.") % {"who": status.responsible.label}
        return format_html('{} <div class="admin-who">{}</div>', status.reason, action)

    @admin.display(description=_("calls today"))
    def calls_today(self, tenant: Tenant) -> str:
        where = reverse("admin:telephony_call_changelist")
        count = _status(tenant)[1].calls_today
        link = format_html('<a href="{}?tenant__id__exact={}">{}</a>', where, tenant.pk, count)
        return with_column_label(_("calls today"), link)

    @admin.display(description=_("last event"))
    def last_event(self, tenant: Tenant) -> str:
        last = datetime_display.format_short(tenant, _status(tenant)[1].last_event_at, now=timezone.now())
        return with_column_label(_("last event"), last) if last else ""

    @admin.display(description=_("CRM"), ordering="crm__address")
    def crm_address(self, tenant: Tenant) -> str:
        return urlsplit(tenant.crm.address).netloc

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        tenant = kwargs.get("obj")
        if tenant is not None:
            may_act = self.has_change_permission(request, tenant)
            context["panel"] = tenant_panel.build_panel(tenant, may_act=may_act, now=timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    def response_add(self, request: HttpRequest, obj: Tenant, post_url_continue: str | None = None) -> HttpResponse:
        """Show the client's activation link once."""
        answer = super().response_add(request, obj, post_url_continue)
        self.message_user(request, tenant_action_handlers.link_message(obj))
        return answer if "_addanother" in request.POST else redirect("admin:tenants_tenant_change", obj.pk)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponseBase:  # type: ignore[override]
        """Redirect to the audit log, which also has the values."""
        which = urlencode({"tenant__id__exact": object_id})
        return redirect(f"{reverse('admin:tenants_auditlogentry_changelist')}?{which}")


def _status(tenant: Tenant) -> tuple[StatusReport, RecentActivity]:
    status: tuple[StatusReport, RecentActivity] = vars(tenant)["status"]
    return status
