"""The calls resource, newest first. Never contains a recording link."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from django_filters import ChoiceFilter
from rest_framework import serializers

from connector_project.core import phone_numbers
from connector_project.core.filters import ConditionFilter
from connector_project.operations.api.base import Resource, Row
from connector_project.operations.api.filters import ResourceFilterSet
from crm import call_records
from telephony.calls import outcomes
from telephony.calls.filters import HAS_RECORDING, CallFilterSet
from telephony.models import Call
from tenants import rule_labels
from tenants.models import Employee


class CallResourceFilterSet(ResourceFilterSet, CallFilterSet):
    """Without the filters that only the page of the call list has."""

    q = tenant__id__exact = day = status = recording = pks = None  # type: ignore[assignment]
    outcome = ConditionFilter({name: (name, condition) for name, condition in outcomes.OUTCOMES.items()})
    rule = ChoiceFilter("skip_reason", choices=rule_labels.skip_reasons())


class Person(Row):
    """The employee of a call."""

    full_name = serializers.SerializerMethodField()

    class Meta:
        model = Employee
        fields = ("uis_id", "full_name", "extension")

    def get_full_name(self, employee: Employee) -> str:
        return self.shown_text(employee.full_name)


class CallRow(Row):
    """A call."""

    external_id = serializers.SerializerMethodField(help_text=_("ID in the CRM."))
    contact = serializers.SerializerMethodField(help_text=_("Masked if the maker of a staff key sees numbers masked."))
    number = serializers.SerializerMethodField()
    outcome = serializers.ChoiceField([*outcomes.OUTCOMES, ""])
    employee = Person(allow_null=True)
    rule = serializers.ChoiceField([*rule_labels.skip_reasons(), ("", "")], source="skip_reason")
    rule_version = serializers.IntegerField(
        source="rule_version.number", help_text=_("Of the client's rules, by which the call was decided last.")
    )
    has_recording = serializers.BooleanField()

    class Meta:
        model = Call
        fields = (
            *("id", "tenant", "session_id", "external_id", "origin", "started_at", "ended_at", "direction"),
            *("is_internal", "contact", "number", "outcome", "result", "talk_seconds", "wait_seconds", "employee"),
            *("crm_user_id", "state", "rule", "rule_version", "reason", "failed_at", "next_attempt_at", "uploaded_at"),
            "has_recording",
        )

    def get_external_id(self, call: Call) -> str:
        return call_records.external_id(call.session_id)

    def get_contact(self, call: Call) -> str:
        return self.shown_number(call.contact)

    def get_number(self, call: Call) -> str:
        return phone_numbers.e164(call.number)


class Calls(Resource):
    summary = _("Calls, newest first, with their result and upload status.")
    queryset: Any = (
        Call.objects.select_related("tenant", "employee", "rule_version")
        .defer("uis_snapshot", "recording_url", "rule_version__rules")
        .annotate(outcome=outcomes.OUTCOME, has_recording=HAS_RECORDING)
        .order_by("-started_at", "-id")
    )
    serializer_class = CallRow
    filterset_class = CallResourceFilterSet
