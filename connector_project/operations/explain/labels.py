"""Texts that only explanations use."""

from collections.abc import Mapping

from django.db.models import Model
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from connector_project.core.check_results import Text
from telephony.models import Call, Notification, Step
from tenants import field_map_labels, rule_differences, rule_labels
from tenants.field_map.rows import FieldMap
from tenants.field_map.transformations import Kind
from tenants.models import RuleDraft, Tenant
from tenants.rules import RecordingKind
from tenants.transfer_rules import Filter, SkipReason

_RULE_FIELDS: Mapping[str, str] = {
    SkipReason.ANSWERED_OFF: "upload_answered",
    SkipReason.MISSED_OFF: "upload_missed",
    SkipReason.OUTGOING_OFF: "upload_outgoing",
    SkipReason.INTERNAL_OFF: "upload_internal",
    SkipReason.NUMBER: "number_filter",
    SkipReason.EMPLOYEE: "employee_filter",
    SkipReason.CONTACT: "contact_filter",
    SkipReason.FIELD_MAP: "field_map",
}
# https://comagic.github.io/data_api/report/get_call_legs_report/
_FINISH_REASONS: Mapping[str, Text] = {
    "subscriber_disconnects": gettext_lazy("the customer hung up"),
    "operator_disconnects": gettext_lazy("the employee hung up"),
    "transfer_disconnects": gettext_lazy("the employee was disconnected by a transfer"),
    "scenario_disconnects": gettext_lazy("the employee was disconnected by the scenario"),
    "another_operator_answer": gettext_lazy("a colleague answered"),
    "call_enqueued": gettext_lazy("the call was put into a queue"),
    "subscriber_busy": gettext_lazy("the customer's line was busy"),
    "subscriber_not_responsible": gettext_lazy("the customer did not answer"),
    "subscriber_number_problems": gettext_lazy("the customer's number could not be reached"),
    "operator_busy": gettext_lazy("busy"),
    "operator_not_responsible": gettext_lazy("not answered"),
    "operator_number_problems": gettext_lazy("the employee's number could not be reached"),
    "operator_channels_busy": gettext_lazy("all lines of the employee's number were busy"),
    "employee_busy": gettext_lazy("busy with another call"),
    "employee_busy_after_call": gettext_lazy("in after-call work"),
    "timeout": gettext_lazy("not answered within the time set in the scenario"),
    "action_interval_exceeded": gettext_lazy("not answered within the time set in the scenario"),
    "no_success_operator_call": gettext_lazy("no employee was reached"),
    "no_success_subscriber_call": gettext_lazy("the customer was not reached"),
    "no_operator_confirmation": gettext_lazy("the employee did not confirm the call"),
    "no_operator_cdr_found": gettext_lazy("no employee's phone was called"),
    "disconnect_before_call_processing": gettext_lazy("the caller hung up before the scenario began"),
    "employee_status_break": gettext_lazy("the employee was on a break"),
    "employee_status_do_not_disturb": gettext_lazy("the employee was in “do not disturb”"),
    "employee_auto_status_do_not_disturb": gettext_lazy("the employee was in “do not disturb”, set automatically"),
    "employee_status_not_at_workplace": gettext_lazy("the employee was not at the workplace"),
    "employee_status_not_at_work": gettext_lazy("the employee was not at work"),
    "employee_status_auto_out_call": gettext_lazy("the employee was in an outgoing campaign"),
    "employee_inactive": gettext_lazy("the employee is switched off in UIS"),
    "employee_inactive_by_schedule": gettext_lazy("outside the employee's hours"),
    "employee_phone_inactive": gettext_lazy("the employee's number is switched off in UIS"),
    "employee_phone_inactive_by_schedule": gettext_lazy("outside the hours of the employee's number"),
    "employee_phone_not_found": gettext_lazy("the employee's number was changed or deleted"),
    "employee_not_exists": gettext_lazy("UIS does not know the employee"),
    "employee_without_phones": gettext_lazy("the employee has no number"),
    "group_without_phones": gettext_lazy("the group has no number"),
    "group_inactive_by_schedule": gettext_lazy("outside the group's hours"),
    "phone_group_inactive_by_schedule": gettext_lazy("outside the hours of the number group"),
    "sip_offline": gettext_lazy("the employee's phone (SIP) was not registered"),
    "sip_trunk_is_locked": gettext_lazy("the SIP trunk is blocked"),
    "locked_numb": gettext_lazy("calls to this number are forbidden by the security settings in UIS"),
    "in_call_not_allowed": gettext_lazy("incoming calls are forbidden in UIS"),
    "out_call_not_allowed": gettext_lazy("outgoing calls are forbidden in UIS"),
    "max_in_call_reached": gettext_lazy("all lines for incoming calls were busy"),
    "max_out_call_reached": gettext_lazy("all lines for outgoing calls were busy"),
    "limit_exceeded": gettext_lazy("the money limit in UIS is reached"),
    "no_money": gettext_lazy("there is no money on the UIS account"),
    "not_enough_money": gettext_lazy("there is not enough money on the UIS account"),
    "no_resources": gettext_lazy("a limit of the client in UIS is exhausted"),
    "call_not_allowed_on_tp": gettext_lazy("forbidden by the tariff in UIS"),
    "app_is_inactive": gettext_lazy("the client is switched off in UIS"),
    "component_is_inactive": gettext_lazy("an option is switched off in UIS"),
    "numa_in_black_list": gettext_lazy("the caller is on UIS's blocklist"),
    "numa_in_spam_list": gettext_lazy("UIS classed the caller as spam"),
    "numa_dnd_interval": gettext_lazy("UIS rejected the call: the same caller had just called"),
    "too_many_identical_incoming_calls": gettext_lazy("UIS rejected the call: too many identical calls"),
    "no_active_scenario": gettext_lazy("no scenario is active in UIS for this number"),
    "scenario_not_found": gettext_lazy("UIS did not find the scenario"),
    "numb_not_exists": gettext_lazy("UIS does not know the virtual number"),
    "numb_is_inactive": gettext_lazy("the virtual number is switched off in UIS"),
}


def popup_skip_label(stored: Notification) -> str:
    """Return why a ring opened no pop-up."""
    return _("no pop-up: %(reason)s") % {"reason": reason(stored)}


def reason(stored: Notification) -> str:
    """Return why a notification was dropped, with its detail."""
    label = str(stored.get_reason_display())
    if stored.reason == Notification.Reason.RULE:
        rule, number = stored.suppressed_by
        return (
            f"{label}: {rule_labels.label(SkipReason(rule))}{of_version(number)}" if rule in set(SkipReason) else label
        )
    has_text = stored.detail and stored.reason != Notification.Reason.ON_ANSWER
    return f"{label} ({stored.detail})" if has_text else label


def of_version(number: object) -> str:
    """Return which version of the rules decided, as an addition to its rule; "" if that is not known."""
    return " " + _("(version %(number)s of the rules)") % {"number": number} if number else ""


def sentence(text: object) -> str:
    """Return a phrase as a sentence."""
    phrase = capfirst(str(text)).strip()
    return phrase if phrase.endswith((".", "!", "?", "…")) else f"{phrase}."


def late_answer(*, is_served: bool) -> str:
    """Return what was reported too late: a talk, or UIS's word that a menu or an informer served the caller."""
    if is_served:
        return _(
            "After the upload as missed UIS said that the call is not lost: a menu or an informer served the caller. "
            "The CRM accepts no correction."
        )
    return sentence(Step.LATE_ANSWER.label)


def filled(*parts: tuple[str, object]) -> list[tuple[str, str]]:
    """Return the named values that are not empty, as text."""
    return [(name, str(value)) for name, value in parts if value]


def sent_link(kind: object) -> str:
    """Return which recording link an upload had, by its entry of the call log."""
    return str(rule_labels.label(RecordingKind(kind))) if isinstance(kind, str) and kind else _("no")


def finish_reason(code: str) -> str:
    """Return the label of a finish reason, in either of the two documented spellings."""
    plain = code.replace("caller_", "subscriber_").replace("responsive", "responsible")
    return str(_FINISH_REASONS.get(plain, code))


def rule_setting(call: Call) -> str:
    """Return the setting of the rule that skipped a call, in the version that decided; "" where there is none.

    One query at most.
    """
    if call.skip_reason == SkipReason.EXPIRED:
        label, value = _label(Tenant, "upload_window_days"), str(call.tenant.upload_window_days)
    elif field := _RULE_FIELDS.get(call.skip_reason):
        label, value = _label(RuleDraft, field), _value_text(field, getattr(call.rule_version.value, field))
        value += _members(call) + of_version(call.rule_version.number)
    else:
        return ""
    return _("Setting “%(label)s”: %(value)s.") % {"label": capfirst(label), "value": value}


def named_rule(field: str, value: object) -> str:
    """Return a rule's label with a value, as in “owner of a missed call”: no owner."""
    return f"“{_label(RuleDraft, field)}”: {_value_text(field, value)}"


def _value_text(field: str, value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value is None:
        return "–"
    if isinstance(value, FieldMap):
        left_out = (row for row in value.rows if row.transformation.kind == Kind.LEAVE_THE_RECORD_OUT)
        return "; ".join(map(field_map_labels.describe, left_out))
    return str(dict(RuleDraft._meta.get_field(field).flatchoices).get(value, value))  # type: ignore[union-attr]


def _members(call: Call) -> str:
    """Return the entries of the filter that skipped the call; of customers' numbers only the count."""
    rules, members = call.rule_version.value, ""
    if call.skip_reason == SkipReason.CONTACT and rules.contact_filter != Filter.ALL:
        count = len(rules.contacts)
        members = ngettext("%(count)d number", "%(count)d numbers", count) % {"count": count}
    elif name := {SkipReason.NUMBER: "numbers", SkipReason.EMPLOYEE: "employees"}.get(SkipReason(call.skip_reason)):
        people = rule_differences.names_of(call.tenant, rules)
        members = ", ".join(rule_differences.entries(name, rules, people=people, sees_numbers=False))
    return f" ({members})" if members else ""


def _label(model: type[Model], field: str) -> str:
    return str(model._meta.get_field(field).verbose_name)  # type: ignore[union-attr]
