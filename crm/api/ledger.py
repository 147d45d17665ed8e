"""The ledger: what each day of each client came to."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from crm.api.queries import Query
from crm.api.resource import MomentOfClient, Resource, Row
from telephony.models import LedgerDay


class LedgerQuery(Query):
    """Which days."""

    day_from = serializers.DateField(required=False, help_text=_("This day is part of the period."))
    day_till = serializers.DateField(required=False, help_text=_("This day is part of the period, too."))

    conditions = {"day_from": lambda value: Q(day__gte=value), "day_till": lambda value: Q(day__lte=value)}


class LedgerRow(Row):
    """One day of one client."""

    tenant = serializers.SlugField(source="tenant.slug")
    delivered_share = serializers.FloatField(
        allow_null=True, help_text=_("0 to 1: what is uploaded of what the rules let through; null of nothing.")
    )
    counted_at = MomentOfClient()
    settled_at = MomentOfClient(allow_null=True)

    class Meta:
        model = LedgerDay
        fields = (
            *("id", "tenant", "day", "uis_calls", "uploaded", "skipped", "waiting", "failed", "unexplained"),
            *("recovered", "delivered_share", "counted_at", "settled_at"),
        )


class Ledger(Resource):
    """Days of the ledger."""

    about = _("Days of a client, the newest first: every call of UIS's own list, by how it ended.")
    queryset: Any = LedgerDay.objects.select_related("tenant")
    serializer_class = LedgerRow
    query = LedgerQuery
    order = ("-day", "tenant_id")
