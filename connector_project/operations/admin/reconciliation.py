"""Admin of the daily reconciliation."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from connector_project.core.admin.base import ReadOnlyAdmin, state_label
from telephony.models import DailyReconciliation


@admin.register(DailyReconciliation)
class DailyReconciliationAdmin(ReadOnlyAdmin):
    list_display = (
        *("day", "tenant", "uis_calls", "uploaded", "skipped", "waiting", "failed", "shown_unexplained"),
        *("recovered", "delivered"),
    )
    list_filter = ("tenant", "day")
    list_select_related = ("tenant",)
    fields = readonly_fields = (*list_display, "counted_at", "closed_at")

    @admin.display(description=_("unexplained"), ordering="unexplained")
    def shown_unexplained(self, row: DailyReconciliation) -> str:
        return state_label("failed", row.unexplained) if row.unexplained else "0"

    @admin.display(description=_("delivered"))
    def delivered(self, row: DailyReconciliation) -> str:
        # Round down: 100 % must mean every call.
        share = row.delivered_share
        return "—" if share is None else f"{int(share * 1000) / 10:.1f} %"
