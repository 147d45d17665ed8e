"""Which setting a rule depends on, and its present value. Pure."""

from collections.abc import Mapping

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm.why.facts import Facts
from tenants.models import Tenant, TransferRules
from tenants.transfer import Filter, KeptBack

_FIELDS: Mapping[str, str] = {
    KeptBack.ANSWERED_OFF: "upload_answered",
    KeptBack.MISSED_OFF: "upload_missed",
    KeptBack.OUTGOING_OFF: "upload_outgoing",
    KeptBack.INTERNAL_OFF: "upload_internal",
    KeptBack.NUMBER: "number_filter",
    KeptBack.EMPLOYEE: "employee_filter",
    KeptBack.CONTACT: "contact_filter",
}


def told(facts: Facts) -> str:
    """Return the setting and value of the rule that skipped a call; "" where there is none."""
    rule = facts.call.kept_back_by
    if rule == KeptBack.TOO_OLD:
        days = facts.call.tenant.keep_days
        return _setting(str(Tenant._meta.get_field("keep_days").verbose_name), str(days))
    if rule not in _FIELDS:
        return ""
    value = of_field(facts.call.tenant.rules, _FIELDS[rule])
    return _setting(_label(_FIELDS[rule]), f"{value}{_members(facts)}")


def of_field(rules: TransferRules, field: str) -> str:
    """Return the value of a rule as text."""
    return _value_text(field, getattr(rules, field))


def named(field: str, value: str) -> str:
    """Return a rule's name with a value: “whose call it is”: who talked last."""
    return f"“{_label(field)}”: {_value_text(field, value)}"


def _value_text(field: str, value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return str(dict(TransferRules._meta.get_field(field).flatchoices).get(value, value))  # type: ignore[union-attr]


def _setting(label: str, value: str) -> str:
    return _("Setting “%(label)s”: %(value)s.") % {"label": capfirst(label), "value": value}


def _members(facts: Facts) -> str:
    """Return the entries of a filter; of customers' numbers only the count."""
    rules = facts.call.tenant.rules
    if facts.call.kept_back_by == KeptBack.CONTACT and rules.contact_filter != Filter.ALL:
        count = len(rules.contacts.split())
        number_count = ngettext("%(count)d number", "%(count)d numbers", count)  # xgettext does not see f-strings
        return f" ({number_count % {'count': count}})"
    return f" ({facts.setting})" if facts.setting else ""


def _label(field: str) -> str:
    return str(TransferRules._meta.get_field(field).verbose_name)  # type: ignore[union-attr]
