"""The filter form of the call list. Its fields are the filters of telephony.calls.filters."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from telephony.calls import filters
from telephony.models import Direction, FailureReason, State
from tenants.models import Tenant
from tenants.transfer_rules import SkipReason

ANY = ("", _("any"))
_STATES = [("waiting", _("in progress")), ("failed", _("failed, needs action")), *State.choices]
_OUTCOMES = [
    ("answered", _("answered")),
    ("missed", _("missed")),
    ("not_reached", _("outgoing, not answered")),
]
_RULES = [choice for choice in SkipReason.choices if choice[0] != SkipReason.POPUP_OFF]  # it concerns pop-ups only
_RECORDINGS = [("yes", _("with a recording")), ("no", _("without a recording"))]


def _clients() -> list[tuple[Any, Any]]:
    return [ANY, *Tenant.objects.order_by("name").values_list("pk", "name")]


class CallFilterForm(forms.Form):
    """All fields are optional."""

    q = forms.CharField(
        label=_("Number, employee, session"),
        required=False,
        max_length=100,
        widget=forms.SearchInput(attrs={"autocomplete": "off"}),
    )
    day = forms.CharField(label=_("Day"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    direction = forms.ChoiceField(label=_("Direction"), required=False, choices=[ANY, *Direction.choices])
    outcome = forms.ChoiceField(label=_("Answered or missed"), required=False, choices=[ANY, *_OUTCOMES])
    status = forms.ChoiceField(label=_("State"), required=False, choices=[ANY, *_STATES])
    reason = forms.ChoiceField(
        label=_("Reason"), required=False, choices=[ANY, *(choice for choice in FailureReason.choices if choice[0])]
    )
    rule = forms.ChoiceField(label=_("Rule"), required=False, choices=[ANY, *_RULES])
    number = forms.CharField(label=_("Our number"), required=False, max_length=32)
    recording = forms.ChoiceField(label=_("Recording"), required=False, choices=[ANY, *_RECORDINGS])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["auto_id"] = "log-%s"
        super().__init__(*args, **kwargs)
        # The parameter name that existing links to one client's calls use.
        self.fields[filters.TENANT] = forms.ChoiceField(label=_("Client"), required=False, choices=_clients)
        self.order_fields(["q", filters.TENANT])
