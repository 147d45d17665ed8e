"""The reason for which calls are skipped for good: without one nobody will know later."""

from django import forms
from django.utils.translation import gettext_lazy as _

LONGEST_REASON = 500


class SkipForm(forms.Form):
    """Why."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text=_("It is kept in the journal and on the call's page."),
    )
