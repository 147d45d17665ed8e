"""Changes one transfer rule for many clients, with a preview."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.db import models, transaction
from django.db.models import QuerySet
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants import audit
from tenants.forms import standard_statuses
from tenants.models import AuditLogEntry, TransferRules
from tenants.status_labels import STATUS_FIELDS, uis_status

# These depend on the client's own lists.
_OF_OWN_LISTS = {"number_filter", "employee_filter", "contact_filter", "contacts"}
RULES: dict[str, Any] = {
    field.name: field
    for field in TransferRules._meta.concrete_fields
    if field.editable and not field.auto_created and not field.is_relation and field.name not in _OF_OWN_LISTS
}
YES_NO = (("True", _("yes")), ("False", _("no")))


class RuleForm(forms.Form):
    clients = forms.RegexField(r"^\d{1,18}(,\d{1,18})*$", widget=forms.HiddenInput)
    rule = forms.ChoiceField(
        label=_("Rule"), choices=lambda: [(name, capfirst(field.verbose_name)) for name, field in RULES.items()]
    )

    def pks(self) -> list[int]:
        return [int(pk) for pk in self.cleaned_data["clients"].split(",")]


class ValueForm(RuleForm):
    """The new value. Needs data that names a rule."""

    rule = forms.ChoiceField(widget=forms.HiddenInput, choices=RuleForm.base_fields["rule"].choices)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, rule: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["value"] = value_field(rule)


@dataclass(frozen=True)
class Line:
    client: str
    now: str
    then: str


def value_field(rule: str) -> forms.Field:
    field = RULES[rule]
    label = capfirst(field.verbose_name)
    if rule in STATUS_FIELDS:  # A client's custom statuses do not exist for other clients.
        return forms.ChoiceField(label=label, choices=standard_statuses())
    if isinstance(field, models.BooleanField):
        return forms.TypedChoiceField(label=label, choices=YES_NO, coerce=lambda text: text == "True")
    typed: forms.Field = field.formfield(label=label)
    return typed


def preview(pks: Sequence[int], rule: str, value: object) -> list[Line]:
    rows = _differing(pks, rule, value).order_by("tenant__name", "tenant__pk")
    then = describe_value(rule, value)
    return [Line(row.tenant.name, describe_value(rule, getattr(row, rule)), then) for row in rows]


@transaction.atomic
def change(pks: Sequence[int], rule: str, value: object, *, by: Any, now: datetime) -> int:
    """Change the rule where it differs, with an audit entry for each client; return how many."""
    rows = list(_differing(pks, rule, value).select_for_update(of=("self",)))
    action = AuditLogEntry.Action.CHANGED
    AuditLogEntry.objects.bulk_create(
        audit.build_entry(row.tenant, action, now=now, by=by, target=row, field=rule, old=getattr(row, rule), new=value)
        for row in rows
    )
    TransferRules.objects.filter(pk__in=[row.pk for row in rows]).update(**{rule: value})
    return len(rows)


def describe_value(rule: str, value: object) -> str:
    """Return a rule's value as text."""
    if rule in STATUS_FIELDS:
        return uis_status(str(value))
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if value is None:
        return "–"
    return str(dict(RULES[rule].flatchoices).get(value, value))


def _differing(pks: Sequence[int], rule: str, value: object) -> QuerySet[TransferRules]:
    return TransferRules.objects.select_related("tenant").filter(tenant__in=pks).exclude(**{rule: value})
