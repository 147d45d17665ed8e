"""The form of the draft of a client's rules: refuses lists that would let nothing pass."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext

from connector_project.core.check_results import join_limited
from tenants import contact_list
from tenants.forms import AlwaysSavedForm
from tenants.models.rule_draft import PRESENT
from tenants.rule_checks import ALL_GONE, NOTHING_CHOSEN
from tenants.rules import LISTS
from tenants.transfer_rules import Filter


class RulesForm(AlwaysSavedForm):
    def clean_contacts(self) -> str:
        """Refuse what is neither a number nor a mask; entries stored before this was checked may stay as they are."""
        text: str = self.cleaned_data["contacts"]
        stored = set(contact_list.split(self.instance.contacts))
        invalid = [
            one for one in contact_list.invalid(text, region=self.instance.tenant.uis.region) if one not in stored
        ]
        if invalid:
            message = gettext("Neither a phone number nor a mask such as 7495123*: %(entries)s. One entry per line.")
            raise ValidationError(message % {"entries": join_limited(f"“{one}”" for one in invalid)})
        return text

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        for mode, name in LISTS.items():
            if cleaned.get(mode) != Filter.ONLY or name in self.errors:
                continue
            if not (chosen := self._chosen(name, cleaned)):
                self.add_error(name if name in self.fields else mode, str(NOTHING_CHOSEN))
            elif {mode, name}.intersection(self.changed_data) and name in PRESENT and not chosen.filter(PRESENT[name]):
                self.add_error(name, str(ALL_GONE))
        return cleaned

    def _chosen(self, name: str, cleaned: dict[str, Any]) -> Any:
        """Return what a list has; a list that the user may not see is as stored."""
        if name == "contacts":
            return contact_list.members(
                cleaned.get(name, self.instance.contacts), region=self.instance.tenant.uis.region
            )
        return cleaned[name] if name in cleaned else getattr(self.instance, name).all()
