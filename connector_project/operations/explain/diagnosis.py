"""Why a call is in its state, who is responsible, and what happens next. Pure."""

from collections.abc import Mapping
from datetime import datetime

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connector_project.core.check_results import Text
from connector_project.operations.alerts import denials
from connector_project.operations.explain import labels
from connector_project.operations.explain.data import CallData, Diagnosis, Redactor
from telephony.calls import recording_selection
from telephony.models import Call, FailureReason, Step
from telephony.models.choices import CRM_STATES, UIS_STATES
from tenants import datetime_display
from tenants.models import Connection
from tenants.transfer_rules import SkipReason

State = Call.State
_NEXT_STEPS: Mapping[str, Text] = {
    State.DEBOUNCING: gettext_lazy("The events will be merged: %(moment)s."),
    State.FETCHING_LEGS: gettext_lazy("Legs and recording will be requested from UIS: %(moment)s."),
    State.RESOLVING_OWNER: gettext_lazy("The CRM will be asked for the customer's manager: %(moment)s."),
    State.READY: gettext_lazy("The call will be uploaded to the CRM: %(moment)s."),
}


def diagnose(data: CallData, redactor: Redactor) -> Diagnosis:
    """Return why the call is in its state."""
    call = data.call
    if call.state == State.UPLOADED:
        message = _("The call was uploaded to the CRM: %(moment)s.")
        moment = datetime_display.format_short(
            call.tenant, call.uploaded_at or call.retry_window_started_at, now=data.now
        )
        return Diagnosis(reason="UPLOADED", message=message % {"moment": moment}, css_class="good")
    if call.state == State.SKIPPED:
        return _skipped(data, redactor)
    if call.failed_at:
        return _of_reason(
            FailureReason(call.reason or FailureReason.INTERNAL_ERROR), redactor.text(call.detail), css_class="bad"
        )
    return _blocked_by_tenant(data, redactor) or _waiting(data, redactor)


def next_step(data: CallData) -> str:
    """Return what happens next, and when."""
    call = data.call
    if call.state == State.UPLOADED:
        return _("Nothing: the call is in the CRM.")
    if call.state == State.SKIPPED:
        return _("Nothing automatically. After a change of the rules press “Retry”.")
    if call.failed_at:
        return _("Nothing automatically. Fix the problem, then press “Retry”.")
    if call.state != State.DEBOUNCING and not call.tenant.is_live:
        return _("It continues automatically when the client is active again.")
    if (connection := _connection(call)) and connection.denied_at:
        return _("It continues automatically within five minutes after the problem is fixed.")
    return _upcoming(data)


def next_at(data: CallData) -> datetime | None:
    """Return the time of the next step; None if it waits for a person, or none follows."""
    call, connection = data.call, _connection(data.call)
    is_open = call.state == State.DEBOUNCING or call.tenant.is_live
    if call.next_attempt_at is None or not is_open or (connection and connection.denied_at):
        return None
    return (
        max(call.next_attempt_at, connection.retry_at) if connection and connection.retry_at else call.next_attempt_at
    )


def _upcoming(data: CallData) -> str:
    call, at = data.call, next_at(data)
    soon = _("within a minute")
    moment = datetime_display.format_with_seconds(call.tenant, at, now=data.now) if at and at > data.now else soon
    message = str(_NEXT_STEPS[call.state]) % {"moment": moment}
    if call.reason != FailureReason.RECORDING_NOT_READY:
        return message
    latest = _("Without a recording it is uploaded at %(moment)s at the latest.")
    deadline = datetime_display.format_with_seconds(call.tenant, recording_selection.deadline(call), now=data.now)
    return f"{message} {latest % {'moment': deadline}}"


def _skipped(data: CallData, redactor: Redactor) -> Diagnosis:
    call = data.call
    if call.skip_reason == SkipReason.MANUAL:
        skip = next((one for one in reversed(data.log_entries) if one.step == Step.SKIP), None)
        message = _("Skipped permanently by %(by)s: %(reason)s")
        params = {
            "by": skip.actor if skip and skip.actor else "–",
            "reason": redactor.text(skip.detail) if skip else "–",
        }
        return Diagnosis(reason=SkipReason.MANUAL, message=message % params)
    message = _("Skipped by a rule: %(rule)s.") % {"rule": call.get_skip_reason_display()}
    return Diagnosis(reason=call.skip_reason, message=f"{message} {labels.rule_setting(call, data.setting)}".strip())


def _blocked_by_tenant(data: CallData, redactor: Redactor) -> Diagnosis | None:
    """Return what blocks all calls of this client, if anything does."""
    call, tenant = data.call, data.call.tenant
    if call.state == State.DEBOUNCING:
        return None
    if tenant.offboarded_at:
        return Diagnosis(
            reason="OFFBOARDED", message=_("The client is disconnected: nothing is sent."), css_class="warn"
        )
    if tenant.activated_at is None:
        message = _("The client is not activated: events are stored, nothing is sent.")
        return Diagnosis(
            reason="NOT_ACTIVATED",
            message=message,
            responsible=FailureReason.UIS_DENIED.responsible,
            css_class="warn",
        )
    if tenant.is_paused:
        message = _("The client is paused: events are stored, nothing is sent.")
        return Diagnosis(reason="PAUSED", message=message, responsible=FailureReason.NONE.responsible, css_class="warn")
    return _blocked_by_connection(data, redactor)


def _blocked_by_connection(data: CallData, redactor: Redactor) -> Diagnosis | None:
    call, connection = data.call, _connection(data.call)
    if connection is None:
        return None
    is_uis = call.state in UIS_STATES
    if connection.denied_at:
        reason = FailureReason.UIS_DENIED if is_uis else FailureReason.CRM_DENIED
        denied = _of_reason(
            reason,
            denials.describe(connection.denied_code, redactor.text(connection.denied_detail)),
            css_class="bad",
        )
        return Diagnosis(
            reason=denied.reason,
            message=denied.message,
            css_class="bad",
            responsible=denials.responsible(connection.denied_code),
        )
    if call.reason != FailureReason.UIS_QUOTA and connection.is_circuit_open(is_live=False, now=data.now):
        return _of_reason(
            FailureReason.UIS_UNAVAILABLE if is_uis else FailureReason.CRM_UNAVAILABLE,
            redactor.text(call.detail),
            css_class="warn",
        )
    return None


def _waiting(data: CallData, redactor: Redactor) -> Diagnosis:
    call = data.call
    if call.claim_token and call.next_attempt_at and call.next_attempt_at > data.now:
        return Diagnosis(reason="CLAIMED", message=_("A worker is processing the call now."))
    if call.reason:
        return _of_reason(FailureReason(call.reason), redactor.text(call.detail), css_class="warn")
    return Diagnosis(reason="DUE", message=_("Queued: a worker will process it within a minute."))


def _of_reason(reason: FailureReason, detail: str, *, css_class: str) -> Diagnosis:
    message = f"{capfirst(str(reason.label))}."
    return Diagnosis(
        reason=reason.value,
        message=f"{message} {detail}".strip(),
        responsible=reason.responsible,
        css_class=css_class,
    )


def _connection(call: Call) -> Connection | None:
    """Return the connection that the next step uses."""
    if call.state in UIS_STATES:
        return call.tenant.uis
    return call.tenant.crm if call.state in CRM_STATES else None
