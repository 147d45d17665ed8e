"""What a person says when he orders something: why calls are skipped, which event notifications were meant to be."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from telephony import lamps
from telephony.uis.templates import EVENTS

LONGEST_REASON = 500


class ReasonForm(forms.Form):
    """Why: without it nobody will know later."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text=_("It is kept in the journal and on the call's page."),
    )


def _events() -> list[tuple[str, Any]]:
    return [(event.value, lamps.name(event)) for event in EVENTS]


class EventForm(forms.Form):
    """Which event: where nothing in a notification tells, a person may know by its address in UIS."""

    event = forms.ChoiceField(label=_("Which event of UIS these are"), choices=_events)


class NoForm(forms.Form):
    """Nothing more is asked."""
