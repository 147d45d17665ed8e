"""Maps UIS's finish_reason of a call without a talk to a Result: both documented spellings; others are UNKNOWN.

https://comagic.github.io/data_api/report/get_call_legs_report/
"""

from telephony.uis.types import Result

_REASONS = {
    Result.BUSY: """
        subscriber_busy caller_busy operator_busy operator_channels_busy employee_busy employee_busy_after_call
    """,
    Result.NO_ANSWER: """
        subscriber_disconnects caller_disconnects operator_disconnects transfer_disconnects scenario_disconnects
        success_finish operator_answer another_operator_answer call_enqueued
        subscriber_not_responsible caller_not_responsible caller_not_responsive
        operator_not_responsible operator_not_responsive timeout action_interval_exceeded
        no_success_operator_call no_success_subscriber_call no_success_caller_call no_operator_confirmation
        no_operator_cdr_found disconnect_before_call_processing employee_status_available
    """,
    Result.ANSWERED: "fax_session_done",
    Result.NOT_ALLOWED: """
        employee_status_break employee_status_do_not_disturb employee_auto_status_do_not_disturb
        employee_status_not_at_workplace employee_status_not_at_work employee_status_auto_out_call
        employee_inactive employee_inactive_by_schedule employee_phone_inactive employee_phone_inactive_by_schedule
        group_inactive_by_schedule group_phone_inactive phone_group_inactive_by_schedule
        phone_protocol_not_allowed_by_status locked_numb in_call_not_allowed out_call_not_allowed
        out_call_not_allowed_by_status internal_call_not_allowed internal_call_not_allowed_by_status
        external_call_not_allowed external_call_not_allowed_by_status auto_out_calls_not_allowed_by_status
        call_not_allowed_on_tp max_in_call_reached max_out_call_reached limit_exceeded no_money not_enough_money
        no_resources app_is_inactive component_is_inactive api_permission_denied api_ip_now_allowed
        numa_in_black_list numa_in_spam_list numa_dnd_interval too_many_identical_incoming_calls
    """,
    Result.FAILED: """
        no_operation subscriber_number_problems caller_number_problems operator_number_problems
        employee_phone_not_found employee_not_exists employees_not_exists employee_without_phones group_without_phones
        sip_offline sip_trunk_is_locked fmc_is_disabled fmc_is_locked locked_phone net_lock account_not_found
        contract_not_found numb_not_exists numb_is_inactive no_active_scenario scenario_not_found
        processing_method_not_found simple_forwarding_is_not_configured sitephone_is_not_configured site_not_exists
        call_generator_is_not_configured max_transition_count_exceeded incorrect_input incorrect_config
        communication_unavailable platform_not_found internal_error
    """,
}
_RESULTS = {reason: result for result, reasons in _REASONS.items() for reason in reasons.split()}


# A party hung up before anybody talked; UIS documents these "by talk".
_HUNG_UP = {"subscriber_disconnects", "caller_disconnects", "operator_disconnects", "disconnect_before_call_processing"}


def parse(raw: str) -> str:
    """Return a documented reason of a text in a notification; "" for any other text."""
    reason = raw.strip().lower()
    return reason if reason in _RESULTS else ""


def is_hung_up(finish_reason: str) -> bool:
    """Return whether, in a call without a talk, a party hung up while it rang."""
    return finish_reason in _HUNG_UP


_REJECTED_CALLER = {"numa_in_black_list", "numa_in_spam_list", "numa_dnd_interval", "too_many_identical_incoming_calls"}


def is_rejection(finish_reason: str) -> bool:
    """Return whether UIS rejected the caller on purpose."""
    return finish_reason in _REJECTED_CALLER


def unanswered_result(finish_reason: str) -> Result:
    """Return the result of an outgoing call without a talk."""
    return _RESULTS.get(finish_reason, Result.UNKNOWN)


def incoming_result(finish_reason: str, *, is_lost: bool) -> Result:
    """Return the result of an incoming call without a talk; `is_lost` is UIS's word.

    Every lost call is missed, whatever the reason: notifications tell none, and a call has the same result whether it
    was told by them or found in the report. One that is not lost was served by a menu or an informer.
    """
    if is_lost:
        return Result.NO_ANSWER
    return Result.NOT_ALLOWED if is_rejection(finish_reason) else Result.ANSWERED
