"""The incidents resource: problem, client, who must act. Operators' notes are not included."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from django_filters import ChoiceFilter
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connector_project.core.check_results import Responsible
from connector_project.core.filters import MomentFilter
from connector_project.operations.alerts import incident_texts
from connector_project.operations.api.base import Resource, Row
from connector_project.operations.api.filters import ResourceFilterSet
from connector_project.operations.models import Incident


class IncidentFilterSet(ResourceFilterSet):
    kind = ChoiceFilter(choices=Incident.Kind.choices)
    state = ChoiceFilter(choices=Incident.State.choices)
    opened_from = MomentFilter("opened_at", "gte", help_text=_("Inclusive."))
    opened_till = MomentFilter("opened_at", "lt", help_text=_("Exclusive."))


class IncidentRow(Row):
    """An incident."""

    tenant = serializers.SlugField(
        source="tenant.slug", allow_null=True, help_text=_("null: concerns the whole service.")
    )
    message = serializers.SerializerMethodField(help_text=_("Description in the requested language."))
    responsible = serializers.SerializerMethodField(help_text=_("Who must act."))

    class Meta:
        model = Incident
        fields = (
            *("id", "tenant", "kind", "reason", "message", "responsible", "state"),
            *("opened_at", "last_seen_at", "seen_count", "resolved_at"),
        )

    def get_message(self, incident: Incident) -> str:
        return incident_texts.message(incident)

    @extend_schema_field(serializers.ChoiceField(Responsible.choices))
    def get_responsible(self, incident: Incident) -> str:
        return incident_texts.responsible(incident).value


class Incidents(Resource):
    summary = _("Incidents, newest first; staff keys also get those of the whole service.")
    queryset: Any = Incident.objects.select_related("tenant").order_by("-opened_at", "-id")
    serializer_class = IncidentRow
    filterset_class = IncidentFilterSet
