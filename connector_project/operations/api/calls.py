"""The calls resource, newest first. Never contains a recording link."""

from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from connector_project.core import phone_numbers
from connector_project.operations.api.base import Resource, Row, TenantDateTimeField
from connector_project.operations.api.filters import AwareDateTimeField, IdField, PhoneField, Query
from crm import call_records
from telephony.calls import outcomes
from telephony.models import Call, Direction, FailureReason, Result
from tenants.models import Employee
from tenants.transfer_rules import SkipReason

_SHOWN = (
    *("tenant__slug", "tenant__time_zone", "session_id", "origin", "started_at", "ended_at", "direction"),
    *("is_internal", "contact", "number", "result", "talk_seconds", "wait_seconds", "state", "skip_reason", "reason"),
    *("failed_at", "next_attempt_at", "uploaded_at", "crm_user_id"),
    *("employee__uis_id", "employee__full_name", "employee__extension"),
)


class CallQuery(Query):
    session_id = IdField(required=False)
    started_from = AwareDateTimeField(required=False, help_text=_("Inclusive."))
    started_till = AwareDateTimeField(required=False, help_text=_("Exclusive."))
    direction = serializers.ChoiceField(Direction.choices, required=False)
    outcome = serializers.ChoiceField([*outcomes.OUTCOMES], required=False)
    result = serializers.ChoiceField(Result.choices, required=False)
    state = serializers.ChoiceField(Call.State.choices, required=False)
    reason = serializers.ChoiceField([choice for choice in FailureReason.choices if choice[0]], required=False)
    rule = serializers.ChoiceField(SkipReason.choices, required=False)
    employee = IdField(required=False, help_text=_("UIS employee ID."))
    contact = PhoneField(required=False, help_text=_("The customer's phone number in any format."))
    number = PhoneField(required=False, help_text=_("The client's phone number in any format."))

    conditions = {
        "session_id": lambda value: Q(session_id=value),
        "started_from": lambda value: Q(started_at__gte=value),
        "started_till": lambda value: Q(started_at__lt=value),
        "direction": lambda value: Q(direction=value),
        "outcome": lambda value: outcomes.OUTCOMES[value],
        "result": lambda value: Q(result=value),
        "state": lambda value: Q(state=value),
        "reason": lambda value: Q(reason=value),
        "rule": lambda value: Q(skip_reason=value),
        "employee": lambda value: Q(employee__uis_id=value),
        "contact": lambda value: Q(contact=phone_numbers.normalise(value, is_russian=True)),
        "number": lambda value: Q(number=phone_numbers.normalise(value, is_russian=True)),
    }


class Person(Row):
    """The employee of a call."""

    class Meta:
        model = Employee
        fields = ("uis_id", "full_name", "extension")


class CallRow(Row):
    """A call."""

    tenant = serializers.SlugField(source="tenant.slug")
    external_id = serializers.SerializerMethodField(help_text=_("ID in the CRM."))
    started_at = TenantDateTimeField()
    ended_at = TenantDateTimeField()
    contact = serializers.SerializerMethodField()
    number = serializers.SerializerMethodField()
    outcome = serializers.ChoiceField([*outcomes.OUTCOMES, ""])
    employee = Person(allow_null=True)
    rule = serializers.ChoiceField([*SkipReason.choices, ("", "")], source="skip_reason")
    failed_at = TenantDateTimeField(allow_null=True)
    next_attempt_at = TenantDateTimeField(allow_null=True)
    uploaded_at = TenantDateTimeField(allow_null=True)
    has_recording = serializers.BooleanField()

    class Meta:
        model = Call
        fields = (
            *("id", "tenant", "session_id", "external_id", "origin", "started_at", "ended_at", "direction"),
            *("is_internal", "contact", "number", "outcome", "result", "talk_seconds", "wait_seconds", "employee"),
            *("crm_user_id", "state", "rule", "reason", "failed_at", "next_attempt_at", "uploaded_at"),
            "has_recording",
        )

    def get_external_id(self, call: Call) -> str:
        return call_records.external_id(call.session_id)

    def get_contact(self, call: Call) -> str:
        return phone_numbers.e164(call.contact)

    def get_number(self, call: Call) -> str:
        return phone_numbers.e164(call.number)


class Calls(Resource):
    """Calls."""

    summary = _("Calls, newest first, with their result and upload status.")
    # Test for a link in SQL, so that the link itself is never loaded.
    queryset: Any = (
        Call.objects.select_related("tenant", "employee")
        .only(*_SHOWN)
        .annotate(
            outcome=outcomes.OUTCOME,
            has_recording=ExpressionWrapper(~Q(recording_url=""), output_field=BooleanField()),
        )
    )
    serializer_class = CallRow
    query = CallQuery
    order = ("-started_at", "-id")
