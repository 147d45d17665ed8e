"""Which setting a rule depends on, and its present value. Pure."""

from collections.abc import Mapping

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connector_project.operations.explain.data import CallData
from tenants.models import Tenant, TransferRules
from tenants.transfer_rules import Filter, SkipReason

_FIELDS: Mapping[str, str] = {
    SkipReason.ANSWERED_OFF: "upload_answered",
    SkipReason.MISSED_OFF: "upload_missed",
    SkipReason.OUTGOING_OFF: "upload_outgoing",
    SkipReason.INTERNAL_OFF: "upload_internal",
    SkipReason.NUMBER: "number_filter",
    SkipReason.EMPLOYEE: "employee_filter",
    SkipReason.CONTACT: "contact_filter",
}


def describe(data: CallData) -> str:
    """Return the setting and value of the rule that skipped a call; "" where there is none."""
    rule = data.call.skip_reason
    if rule == SkipReason.EXPIRED:
        days = data.call.tenant.upload_window_days
        return _setting(str(Tenant._meta.get_field("upload_window_days").verbose_name), str(days))
    if rule not in _FIELDS:
        return ""
    value = field_of(data.call.tenant.rules, _FIELDS[rule])
    return _setting(_label(_FIELDS[rule]), f"{value}{_members(data)}")


def field_of(rules: TransferRules, field: str) -> str:
    """Return the value of a rule as text."""
    return _value_text(field, getattr(rules, field))


def named(field: str, value: str) -> str:
    """Return a rule's label with a value, as in “owner of a missed call”: no owner."""
    return f"“{_label(field)}”: {_value_text(field, value)}"


def _value_text(field: str, value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return str(dict(TransferRules._meta.get_field(field).flatchoices).get(value, value))  # type: ignore[union-attr]


def _setting(label: str, value: str) -> str:
    return _("Setting “%(label)s”: %(value)s.") % {"label": capfirst(label), "value": value}


def _members(data: CallData) -> str:
    """Return the entries of a filter; of customers' numbers only the count."""
    rules = data.call.tenant.rules
    if data.call.skip_reason == SkipReason.CONTACT and rules.contact_filter != Filter.ALL:
        count = len(rules.contacts.split())
        number_count = ngettext("%(count)d number", "%(count)d numbers", count)  # xgettext does not see f-strings
        return f" ({number_count % {'count': count}})"
    return f" ({data.setting})" if data.setting else ""


def _label(field: str) -> str:
    return str(TransferRules._meta.get_field(field).verbose_name)  # type: ignore[union-attr]
