"""Forms of bulk actions: the reason for skipping calls, the event of notifications without one, the days to import."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from connector_project.core import local_dates
from connector_project.core.filters import LARGEST_ID, AwareDateTimeField
from telephony.models import ImportChoice
from telephony.reconciliation.call_import import MAX_DAYS
from telephony.uis.webhook_templates import EVENTS
from telephony.webhooks import status
from tenants import datetime_display, retention
from tenants.models import Tenant

EARLIEST = date(2000, 1, 1)


class PreviewForm(forms.Form):
    """Carries when the preview was shown, and its newest row: what came or failed since is not included."""

    previewed_at = AwareDateTimeField(required=False, widget=forms.HiddenInput)
    newest = forms.IntegerField(required=False, widget=forms.HiddenInput, min_value=0, max_value=LARGEST_ID)

    def __init__(self, data: Any = None, *, newest: int, now: datetime) -> None:
        super().__init__(data, initial={"previewed_at": now.isoformat(), "newest": newest})

    def previewed(self) -> tuple[datetime, int] | None:
        """Take the two out of the data; None if the page did not send them."""
        at, newest = self.cleaned_data.pop("previewed_at"), self.cleaned_data.pop("newest")
        return None if at is None or newest is None else (at, newest)


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text=_("Saved in the audit log and on the call's page."),
    )


class PreviewReasonForm(ReasonForm, PreviewForm):
    """For skipping many calls."""


class EventForm(PreviewForm):
    """For notifications that state no event: a person may know it from the webhook's settings in UIS."""

    event = forms.ChoiceField(
        label=_("UIS event of these notifications"),
        choices=lambda: [(event.value, status.name(event)) for event in EVENTS],
    )


class ImportChoiceForm(forms.Form):
    """Which of the calls found go to the CRM, each with its number; the safest is chosen."""

    choice = forms.ChoiceField(
        label=_("Calls to import"), widget=forms.RadioSelect, initial=ImportChoice.WITHOUT_MISSED, required=False
    )

    def __init__(self, data: Any = None, *, counts: Mapping[ImportChoice, int] | None = None) -> None:
        super().__init__(data)
        numbers = {choice: f": {count}" for choice, count in (counts or {}).items()}
        labels = [(choice.value, f"{choice.label}{numbers.get(choice, '')}") for choice in ImportChoice]
        self.fields["choice"].choices = labels  # type: ignore[attr-defined]

    def chosen(self) -> ImportChoice | None:
        """Return the choice; None if the page sent none."""
        return ImportChoice(self.cleaned_data["choice"]) if self.cleaned_data["choice"] else None


class PeriodForm(forms.Form):
    """The days to import, inclusive, in the client's zone. By default the upload window, up to the activation."""

    first = forms.DateField(label=_("from"))
    last = forms.DateField(label=_("to (inclusive)"))

    def __init__(self, tenant: Tenant, *args: Any, now: datetime) -> None:
        super().__init__(*args)
        today = local_dates.day_of(now, zone=tenant.zone)
        first = local_dates.day_of(tenant.upload_window_start(now=now), zone=tenant.zone) + local_dates.DAY
        activated = local_dates.day_of(tenant.activated_at or now, zone=tenant.zone)
        earliest = max(retention.first_day(tenant, now=now), EARLIEST)
        too_old = _("Calls are kept for %(days)d days: choose %(day)s or a later day.") % {
            "days": retention.days(tenant, retention.Term.CALLS),
            "day": date_format(earliest, datetime_display.DAY),
        }
        bounds = {"type": "date", "min": earliest.isoformat(), "max": today.isoformat()}
        for name, day in {"first": min(first, today), "last": activated if activated > first else today}.items():
            self.fields[name].initial = day
            self.fields[name].widget = forms.DateInput(attrs=bounds, format="%Y-%m-%d")
            self.fields[name].validators = [
                MinValueValidator(EARLIEST, _("Check the year.")),
                MinValueValidator(earliest, too_old),
                MaxValueValidator(today, _("This day is in the future.")),
            ]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        first, last = data.get("first"), data.get("last")
        if first and last and last < first:
            self.add_error("last", _("The period ends before it starts."))
        elif first and last and last - first >= MAX_DAYS:
            message = _("A period has %(days)d days at most. Import the rest afterwards.")
            self.add_error("last", message % {"days": MAX_DAYS.days})
        return data
