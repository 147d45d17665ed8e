"""Finds clicks for which UIS started a call, but could not ring the phone of the person who clicked.

UIS answers such a click as any other; only the legs say that the phone was busy or offline, or money was short.
"""

from collections.abc import Iterable
from datetime import datetime

from crm import click_refusals
from crm.models import Command
from telephony.calls.evidence import load
from telephony.models import Call
from telephony.uis.types import CallLeg

Kind, State, Reason = Command.Kind, Command.State, Command.Reason
# Our code, as in `click_refusals`, and UIS's finish reasons. Who did not pick up their own phone knows.
_CODES = {
    "employee_busy": "operator_busy operator_channels_busy employee_busy employee_busy_after_call",
    "employee_offline": """
        sip_offline sip_trunk_is_locked fmc_is_disabled fmc_is_locked locked_phone operator_number_problems
        employee_inactive employee_inactive_by_schedule employee_phone_inactive employee_phone_inactive_by_schedule
        employee_phone_not_found employee_not_exists employees_not_exists employee_without_phones
    """,
    "employee_status": """
        employee_status_break employee_status_do_not_disturb employee_auto_status_do_not_disturb
        employee_status_not_at_workplace employee_status_not_at_work employee_status_auto_out_call
        phone_protocol_not_allowed_by_status out_call_not_allowed_by_status external_call_not_allowed_by_status
    """,
    "not_enough_money": "no_money not_enough_money limit_exceeded",
    "direction_forbidden": """
        locked_numb out_call_not_allowed external_call_not_allowed call_not_allowed_on_tp max_out_call_reached
        no_resources app_is_inactive component_is_inactive
    """,
}
_BY_REASON = {reason: code for code, reasons in _CODES.items() for reason in reasons.split()}


def check(command_id: int, *, now: datetime) -> None:
    """Tell who clicked if their phone was not rung. Needs the legs of the call."""
    command = Command.objects.filter(pk=command_id, kind=Kind.MAKE_CALL, state=State.DONE, told_at=None).first()
    if command is None or command.session_id is None:
        return
    call = Call.objects.filter(tenant=command.tenant_id, session_id=command.session_id).first()
    if call is None or not (found := failure(load(call.uis_snapshot).legs)):
        return
    code, finish_reason = found
    failed = {"state": State.FAILED, "reason": Reason.UIS_REFUSED, "vendor_code": code, "detail": finish_reason}
    if Command.objects.filter(pk=command.pk, state=State.DONE).update(**failed):
        click_refusals.tell(command.pk, now=now)


def failure(legs: Iterable[CallLeg]) -> tuple[str, str] | None:
    """Return our code and UIS's reason why the employee's phone did not ring; None if it did, or that is unknown."""
    every = sorted(legs, key=lambda leg: not leg.is_operator)
    if any(leg.is_talked or (leg.is_operator and leg.connected_at) for leg in every):
        return None
    return next(
        ((_BY_REASON[one.finish_reason], one.finish_reason) for one in every if one.finish_reason in _BY_REASON), None
    )
