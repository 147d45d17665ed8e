"""The form of a client's transfer rules in the admin: asks before rules that would skip every call."""

import hashlib
from dataclasses import replace
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from telephony.calls import rule_forecast
from tenants.models import TransferRules
from tenants.rules_form import RulesForm
from tenants.transfer_rules import RuleSet


class ConfirmationField(forms.CharField):
    """Hidden until it is asked for, and no part of the row."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class ConfirmedRulesForm(RulesForm):
    confirm_skipping = ConfirmationField(required=False, label=_("Yes, skip all these calls"))

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors or self.instance.pk is None or not self.has_changed():
            return
        tenant, now, rules = self.instance.tenant, timezone.now(), self._rule_set()
        forecast = rule_forecast.find_day_without_uploads(tenant, rules, now=now)
        if forecast is None or self.cleaned_data.get("confirm_skipping") == _digest(rules):
            return
        stored = TransferRules.objects.select_related("tenant__uis").get(pk=self.instance.pk)
        if rule_forecast.find_day_without_uploads(tenant, stored.rule_set(), now=now) is None:
            self._ask(str(forecast), _digest(rules))

    def _rule_set(self) -> RuleSet:
        """Return the rules as they would be saved: the lists of rows are stored only afterwards."""
        rules: RuleSet = self.instance.rule_set()
        lists: dict[str, Any] = {}
        for name, mode, field in (("numbers", "number_filter", "number"), ("employees", "employee_filter", "uis_id")):
            if name in self.cleaned_data:
                chosen = frozenset(getattr(row, field) for row in self.cleaned_data[name])
                lists[name] = (getattr(self.instance, mode), chosen)
        return replace(rules, **lists)

    def _ask(self, question: str, answer: str) -> None:
        """Show a box to tick, whose value names these rules: other ones are asked about again."""
        self.fields["confirm_skipping"].widget = forms.CheckboxInput({"value": answer}, check_test=lambda _value: False)
        self.add_error("confirm_skipping", question)


def _digest(rules: RuleSet) -> str:
    lists = [(mode, sorted(map(str, chosen))) for mode, chosen in (rules.numbers, rules.employees, rules.contacts)]
    switches = (rules.uploads_answered, rules.uploads_missed, rules.uploads_outgoing, rules.uploads_internal)
    return hashlib.blake2b(repr((lists, switches)).encode(errors="surrogatepass"), digest_size=8).hexdigest()
