"""Forms of bulk actions: the reason for skipping calls, the event of notifications that do not state one."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from telephony.uis.webhook_templates import EVENTS
from telephony.webhooks import status

LONGEST_REASON = 500


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text=_("Saved in the audit log and on the call's page."),
    )


def _events() -> list[tuple[str, Any]]:
    return [(event.value, status.name(event)) for event in EVENTS]


class EventForm(forms.Form):
    """For notifications that state no event: a person may know it from the webhook's settings in UIS."""

    event = forms.ChoiceField(label=_("UIS event of these notifications"), choices=_events)


class NoForm(forms.Form):
    """For bulk actions without input."""
