"""The statistics page, for all clients or for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from connector_project.operations import tenant_status
from connector_project.operations.admin import charts
from connector_project.operations.admin.charts import Chart
from crm import popup_stats as speed
from crm.popup_stats import PopupStats
from telephony import stats
from telephony.reconciliation.stats import ReconciliationStats
from telephony.stats import Calls, Period
from tenants.models import Tenant

PERIODS = (7, 30, 90)
DEFAULT_DAYS, DEFAULT_DAYS_OF_ALL = 30, 7  # a quarter of all clients' calls would be millions of rows


@dataclass(frozen=True)
class Fact:
    """A key figure of the period."""

    label: Text
    shown: str


class StatisticsMixin(admin.ModelAdmin[Tenant]):
    """Adds statistics pages to the client list and to each client."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.statistics_view)
        ours = [
            path("statistics/", view, name="tenants_statistics"),
            path("<int:tenant_id>/statistics/", view, name="tenants_tenant_statistics"),
        ]
        return [*ours, *super().get_urls()]

    def statistics_view(self, request: HttpRequest, tenant_id: int | None = None) -> HttpResponse:
        tenant = get_object_or_404(Tenant, pk=tenant_id) if tenant_id else None
        if not (self.has_view_permission(request, tenant) and request.user.has_perm("telephony.view_call")):
            raise PermissionDenied
        length = _length(request, DEFAULT_DAYS if tenant else DEFAULT_DAYS_OF_ALL)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Statistics"),
            "subtitle": str(tenant or _("all clients")),
            "tenant": tenant,
            "periods": [(days, days == length) for days in PERIODS],
            **_statistics(tenant, length),
        }
        return TemplateResponse(request, "admin/tenants/statistics.html", context)


def _length(request: HttpRequest, usual: int) -> int:
    days = request.GET.get("days", "")
    return int(days) if days in map(str, PERIODS) else usual


def _statistics(tenant: Tenant | None, length: int) -> dict[str, Any]:
    zones = [tenant.time_zone] if tenant else tenant_status.zones_in_use()
    period = Period.last(length, zones=zones, now=timezone.now())
    reconciled, calls, popups = (
        stats.delivered(tenant, period),
        stats.calls(tenant, period),
        speed.count_popups(tenant, period),
    )
    ranking = (
        charts.by_employee(stats.by_employee(tenant, period)) if tenant else charts.by_client(stats.by_tenant(period))
    )
    shown: Sequence[Chart] = [
        charts.delivered(reconciled),
        charts.ended(calls.by_day),
        charts.popups(popups.by_day),
        charts.steps(popups),
        ranking,
        charts.by_hour(calls),
    ]
    return {
        "period": period,
        "facts": _fact_list(sum(reconciled.values(), ReconciliationStats()), calls, popups),
        "charts": shown,
    }


def _fact_list(reconciled: ReconciliationStats, calls: Calls, popups: PopupStats) -> list[Fact]:
    ends, total, ours = calls.total, popups.total, popups.ours
    return [
        Fact(_("calls in UIS"), str(reconciled.uis_calls)),
        Fact(_("delivery rate"), charts.format_percent(reconciled.uploaded, reconciled.due)),
        Fact(_("incoming calls"), str(ends.incoming)),
        Fact(_("answer rate"), charts.format_percent(ends.answered, ends.incoming)),
        Fact(_("from ring to pop-up, median"), charts.format_seconds(total.median)),
        Fact(_("95th percentile"), charts.format_seconds(total.p95)),
        Fact(_("maximum"), charts.format_seconds(total.worst)),
        Fact(_("of it from receipt to pop-up, median"), charts.format_seconds(ours.median)),
        Fact(_("pop-ups rejected by the CRM"), str(popups.refused)),
    ]
