"""The form of a new client: it also asks what their transfer rules begin with."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tenants import rule_presets
from tenants.forms import TenantForm
from tenants.rule_presets import Beginning
from tenants.visibility import Reader


class BeginningField(forms.ChoiceField):
    """What a new client begins with (`rule_presets`); no value of the client itself."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class NewTenantForm(TenantForm):
    reader: Reader = None  # who fills in the form; set by the admin
    begins_with = BeginningField(
        label=_("Transfer rules"),
        initial=rule_presets.DEFAULT,
        required=False,
        help_text=_(
            "They can be changed later. From another client the rules, business hours, upload window and retention are "
            "taken over; never keys, numbers, employees and contacts."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["begins_with"].choices = rule_presets.choices(self.reader)  # type: ignore[attr-defined]

    @property
    def beginning(self) -> Beginning:
        return rule_presets.begin_with(self.cleaned_data["begins_with"], self.reader)
