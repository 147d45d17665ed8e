"""The daily reconciliation resource."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from django_filters import DateFilter
from rest_framework import serializers

from connector_project.operations.api.base import Resource, Row
from connector_project.operations.api.filters import ResourceFilterSet
from telephony.models import DailyReconciliation


class ReconciliationFilterSet(ResourceFilterSet):
    day_from = DateFilter("day", "gte", input_formats=["%Y-%m-%d"], help_text=_("Inclusive."))
    day_till = DateFilter("day", "lte", input_formats=["%Y-%m-%d"], help_text=_("Inclusive."))


class ReconciliationRow(Row):
    """A day of a client."""

    delivered_share = serializers.FloatField(
        allow_null=True, help_text=_("0 to 1: uploaded calls as a share of those not skipped; null without any.")
    )

    class Meta:
        model = DailyReconciliation
        fields = (
            *("id", "tenant", "day", "uis_calls", "uploaded", "skipped", "waiting", "failed", "unexplained"),
            *("recovered", "delivered_share", "counted_at", "closed_at"),
        )


class Reconciliation(Resource):
    summary = _("Daily reconciliation, newest first: all calls in UIS's report, by outcome.")
    queryset: Any = DailyReconciliation.objects.select_related("tenant").order_by("-day", "tenant_id")
    serializer_class = ReconciliationRow
    filterset_class = ReconciliationFilterSet
