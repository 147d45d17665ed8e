"""The statistics page, for all clients or for one."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connector_project.core import rollups
from connector_project.core.admin.base import BaseAdmin, page
from connector_project.core.redaction import redact
from connector_project.operations import tenant_status
from connector_project.operations.admin import charts
from connector_project.operations.admin.charts import Column, format_percent, format_seconds
from crm import popup_stats
from telephony import stats
from telephony.reconciliation.stats import ReconciliationStats
from telephony.stats import Period
from tenants import permissions
from tenants.models import Tenant
from tenants.visibility import Reader

PERIODS = (7, 30, 90)
DEFAULT_DAYS, DEFAULT_DAYS_OF_ALL = 30, 7

# The key figures of the period.
FACTS = (
    Column(_("calls in UIS"), "", "reconciled.uis_calls"),
    Column(_("delivery rate"), "", "reconciled.delivery_rate", format_percent),
    Column(_("incoming calls"), "", "outcomes.incoming"),
    Column(_("answer rate"), "", "outcomes.answer_rate", format_percent),
    Column(_("from ring to pop-up, median"), "", "popups.total.median", format_seconds),
    Column(_("95th percentile"), "", "popups.total.p95", format_seconds),
    Column(_("maximum"), "", "popups.total.worst", format_seconds),
    Column(_("of it from receipt to pop-up, median"), "", "popups.ours.median", format_seconds),
    Column(_("pop-ups rejected by the CRM"), "", "popups.refused"),
)


class StatisticsMixin(BaseAdmin):
    """Adds statistics pages to the client list and to each client."""

    @page("statistics/", name="tenants_statistics", permission="telephony.view_call")
    @page("<int:tenant_id>/statistics/", name="tenants_tenant_statistics", permission="telephony.view_call")
    def statistics_view(self, request: HttpRequest, tenant_id: int | None = None) -> HttpResponse:
        tenant = get_object_or_404(Tenant, pk=tenant_id) if tenant_id else None
        default = DEFAULT_DAYS if tenant else DEFAULT_DAYS_OF_ALL
        days, periods = choose_days(request, PERIODS, default=default)
        context = {"subtitle": str(tenant or _("all clients")), "tenant": tenant, "periods": periods}
        context |= rollups.read(lambda: _statistics(tenant, days, request.user))
        return self.render_page(request, "admin/tenants/statistics.html", title=_("Statistics"), **context)


def choose_days(request: HttpRequest, periods: Sequence[int], *, default: int) -> tuple[int, list[tuple[int, bool]]]:
    """Return the chosen period in days, and the links: each possible period, and whether it is chosen."""
    text = request.GET.get("days", "")
    days = int(text) if text in map(str, periods) else default
    return days, [(number, number == days) for number in periods]


def _statistics(tenant: Tenant | None, days: int, reader: Reader) -> dict[str, Any]:
    zones = [tenant.time_zone] if tenant else tenant_status.zones_in_use(reader)
    period = Period.last(days, zones=zones, now=timezone.now())
    by_day, calls = stats.delivered(tenant, period, reader=reader), stats.calls(tenant, period, reader=reader)
    popups = popup_stats.count_popups(tenant, period, reader=reader)
    reconciled = sum(by_day.values(), ReconciliationStats())
    figures = SimpleNamespace(reconciled=reconciled, outcomes=calls.total, popups=popups)
    if tenant:
        name = str if permissions.can_see_full_numbers(reader) else redact
        rows = stats.by_employee(tenant, period)
        ranking = charts.EMPLOYEES.with_rows((name(row.name), row.outcomes) for row in rows)
    else:
        ranking = charts.CLIENTS.with_rows((row.name, row) for row in stats.by_tenant(period, reader=reader))
    return {
        "facts": [(column.label, column.cell(figures).shown or "–") for column in FACTS],
        "charts": [
            charts.DELIVERED.with_rows(by_day.items()),
            charts.ENDED.with_rows(calls.by_day.items()),
            charts.POPUPS.with_rows(popups.by_day.items()),
            charts.POPUP_STEPS.with_rows(popups.histogram.items()),
            ranking,
            charts.HOURS.with_rows(calls.by_hour.items()),
        ],
    }
