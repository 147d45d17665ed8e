"""Labels of UIS's finish reasons of legs; unknown ones are shown as they are.

https://comagic.github.io/data_api/report/get_call_legs_report/
"""

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text

_LABELS: Mapping[str, Text] = {
    "subscriber_disconnects": _("the customer hung up"),
    "operator_disconnects": _("the employee hung up"),
    "transfer_disconnects": _("the employee was disconnected by a transfer"),
    "scenario_disconnects": _("the employee was disconnected by the scenario"),
    "another_operator_answer": _("a colleague answered"),
    "call_enqueued": _("the call was put into a queue"),
    "subscriber_busy": _("the customer's line was busy"),
    "subscriber_not_responsible": _("the customer did not answer"),
    "subscriber_number_problems": _("the customer's number could not be reached"),
    "operator_busy": _("busy"),
    "operator_not_responsible": _("not answered"),
    "operator_number_problems": _("the employee's number could not be reached"),
    "operator_channels_busy": _("all lines of the employee's number were busy"),
    "employee_busy": _("busy with another call"),
    "employee_busy_after_call": _("in after-call work"),
    "timeout": _("not answered within the time set in the scenario"),
    "action_interval_exceeded": _("not answered within the time set in the scenario"),
    "no_success_operator_call": _("no employee was reached"),
    "no_success_subscriber_call": _("the customer was not reached"),
    "no_operator_confirmation": _("the employee did not confirm the call"),
    "no_operator_cdr_found": _("no employee's phone was called"),
    "disconnect_before_call_processing": _("the caller hung up before the scenario began"),
    "employee_status_break": _("the employee was on a break"),
    "employee_status_do_not_disturb": _("the employee was in “do not disturb”"),
    "employee_auto_status_do_not_disturb": _("the employee was in “do not disturb”, set automatically"),
    "employee_status_not_at_workplace": _("the employee was not at the workplace"),
    "employee_status_not_at_work": _("the employee was not at work"),
    "employee_status_auto_out_call": _("the employee was in an outgoing campaign"),
    "employee_inactive": _("the employee is switched off in UIS"),
    "employee_inactive_by_schedule": _("outside the employee's hours"),
    "employee_phone_inactive": _("the employee's number is switched off in UIS"),
    "employee_phone_inactive_by_schedule": _("outside the hours of the employee's number"),
    "employee_phone_not_found": _("the employee's number was changed or deleted"),
    "employee_not_exists": _("UIS does not know the employee"),
    "employee_without_phones": _("the employee has no number"),
    "group_without_phones": _("the group has no number"),
    "group_inactive_by_schedule": _("outside the group's hours"),
    "phone_group_inactive_by_schedule": _("outside the hours of the number group"),
    "sip_offline": _("the employee's phone (SIP) was not registered"),
    "sip_trunk_is_locked": _("the SIP trunk is blocked"),
    "locked_numb": _("calls to this number are forbidden by the security settings in UIS"),
    "in_call_not_allowed": _("incoming calls are forbidden in UIS"),
    "out_call_not_allowed": _("outgoing calls are forbidden in UIS"),
    "max_in_call_reached": _("all lines for incoming calls were busy"),
    "max_out_call_reached": _("all lines for outgoing calls were busy"),
    "limit_exceeded": _("the money limit in UIS is reached"),
    "no_money": _("there is no money on the UIS account"),
    "not_enough_money": _("there is not enough money on the UIS account"),
    "no_resources": _("a limit of the client in UIS is exhausted"),
    "call_not_allowed_on_tp": _("forbidden by the tariff in UIS"),
    "app_is_inactive": _("the client is switched off in UIS"),
    "component_is_inactive": _("an option is switched off in UIS"),
    "numa_in_black_list": _("the caller is on UIS's blocklist"),
    "numa_in_spam_list": _("UIS classed the caller as spam"),
    "numa_dnd_interval": _("UIS rejected the call: the same caller had just called"),
    "too_many_identical_incoming_calls": _("UIS rejected the call: too many identical calls"),
    "no_active_scenario": _("no scenario is active in UIS for this number"),
    "scenario_not_found": _("UIS did not find the scenario"),
    "numb_not_exists": _("UIS does not know the virtual number"),
    "numb_is_inactive": _("the virtual number is switched off in UIS"),
}


def label(reason: str) -> str:
    """Return the label of a finish reason, in either of the two documented spellings."""
    plain = reason.replace("caller_", "subscriber_").replace("responsive", "responsible")
    return str(_LABELS.get(plain, reason))
