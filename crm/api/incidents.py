"""The incidents resource: problem, client, who must act. Operators' notes are not included."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from crm.alarms import words
from crm.api.queries import MomentField, Query
from crm.api.resource import MomentOfClient, Resource, Row
from crm.models import Incident
from telephony.models.words import Who


class IncidentQuery(Query):
    kind = serializers.ChoiceField(Incident.Kind.choices, required=False)
    state = serializers.ChoiceField(Incident.State.choices, required=False)
    opened_from = MomentField(required=False, help_text=_("Inclusive."))
    opened_till = MomentField(required=False, help_text=_("Exclusive."))

    conditions = {
        "kind": lambda value: Q(kind=value),
        "state": lambda value: Q(state=value),
        "opened_from": lambda value: Q(opened_at__gte=value),
        "opened_till": lambda value: Q(opened_at__lt=value),
    }


class IncidentRow(Row):
    """An incident."""

    tenant = serializers.SlugField(
        source="tenant.slug", allow_null=True, help_text=_("null: concerns the whole service.")
    )
    says = serializers.SerializerMethodField(help_text=_("Description in the requested language."))
    who = serializers.SerializerMethodField(help_text=_("Who must act."))
    opened_at = MomentOfClient()
    last_seen_at = MomentOfClient()
    resolved_at = MomentOfClient(allow_null=True)

    class Meta:
        model = Incident
        fields = (
            *("id", "tenant", "kind", "cause", "says", "who", "state", "opened_at", "last_seen_at", "times"),
            "resolved_at",
        )

    def get_says(self, incident: Incident) -> str:
        return words.says(incident)

    @extend_schema_field(serializers.ChoiceField(Who.choices))
    def get_who(self, incident: Incident) -> str:
        return words.who(incident).value


class Incidents(Resource):
    """Incidents."""

    about = _("Incidents, newest first; staff keys also get those of the whole service.")
    queryset: Any = Incident.objects.select_related("tenant")
    serializer_class = IncidentRow
    query = IncidentQuery
    order = ("-opened_at", "-id")
