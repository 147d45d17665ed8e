"""Why a call is in its state, what happens next, and what else went wrong: a pop-up, a manager, a recording. Pure."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from statistics import median

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connector_project.core.check_results import Responsible, Text
from connector_project.operations.alerts import denials
from connector_project.operations.explain import labels, recordings, templates
from connector_project.operations.explain.data import FAULTS, CallData
from connector_project.operations.explain.parts import Diagnosis
from telephony.calls import recording_selection, voice_mail
from telephony.models import Call, FailureReason, Notification, Step
from telephony.models.choices import CRM_STATES, UIS_STATES
from tenants import datetime_display
from tenants.models import Connection, Employee
from tenants.transfer_rules import SkipReason

State, Reason = Call.State, Notification.Reason
# Clocks of two systems differ by seconds, time zones by half hours.
ZONE_STEP_SECONDS, CLOCKS_APART_SECONDS = 1800, 120
_NEXT_STEPS: Mapping[str, Text] = {
    State.DEBOUNCING: gettext_lazy("The events will be merged: %(moment)s."),
    State.FETCHING_LEGS: gettext_lazy("Legs and recording will be requested from UIS: %(moment)s."),
    State.RESOLVING_OWNER: gettext_lazy("The CRM will be asked for the customer's manager: %(moment)s."),
    State.READY: gettext_lazy("The call will be uploaded to the CRM: %(moment)s."),
}
# What a call that waits for something says of its end, and when that is.
_LATEST: Mapping[str, tuple[Text, Callable[[Call], datetime]]] = {
    FailureReason.RECORDING_NOT_READY: (
        gettext_lazy("Without a recording it is uploaded at %(moment)s at the latest."),
        recording_selection.deadline,
    ),
    FailureReason.VOICE_MAIL_NOT_READY: (
        gettext_lazy("Without a voice mail it is uploaded at %(moment)s at the latest."),
        voice_mail.deadline,
    ),
}
_POPUP_RESPONSIBLE: Mapping[str, Responsible] = {
    Reason.PAUSED: Responsible.OPERATOR,
    Reason.CRM_DENIED: Responsible.CLIENT,
    Reason.NO_EMPLOYEE: Responsible.CLIENT,
    Reason.UNKNOWN_EMPLOYEE: Responsible.OPERATOR,
    Reason.NOT_LINKED: Responsible.OPERATOR,
    Reason.CRM_AWAY: Responsible.CRM,
    Reason.CRM_FAILED: Responsible.CRM,
    Reason.STALE: Responsible.UIS,
}


def diagnose(data: CallData) -> Diagnosis:
    """Return why the call is in its state."""
    call = data.call
    if call.state == State.UPLOADED:
        at = call.uploaded_at or call.retry_window_started_at
        moment = datetime_display.format_short(call.tenant, at, now=data.now)
        return Diagnosis("UPLOADED", _("The call was uploaded to the CRM: %(moment)s.") % {"moment": moment})
    if call.state == State.SKIPPED:
        return _skipped(data)
    if call.failed_at:
        return _of_reason(FailureReason(call.reason or FailureReason.INTERNAL_ERROR), data.redactor.text(call.detail))
    return _blocked(data) or _waiting(data)


def next_step(data: CallData) -> tuple[str, datetime | None]:
    """Return what happens next, and its time; None if it waits for a person, or nothing follows."""
    call, connection, at = data.call, _connection(data.call), data.call.next_attempt_at
    if call.state == State.UPLOADED:
        return _("Nothing: the call is in the CRM."), None
    if call.state == State.SKIPPED:
        return _("Nothing automatically. After a change of the rules press “Retry”."), None
    if call.failed_at:
        return _("Nothing automatically. Fix the problem, then press “Retry”."), None
    if call.state != State.DEBOUNCING and not call.tenant.is_live:
        return _("It continues automatically when the client is active again."), None
    if connection and denials.of_step(connection, State(call.state)):
        return _("It continues automatically within five minutes after the problem is fixed."), None
    if at and connection and connection.retry_at:
        at = max(at, connection.retry_at)
    return _upcoming(data, at), at


def find_warnings(data: CallData) -> list[Diagnosis]:
    """Return the other problems, each once: what did not fail the call, but cost something."""
    of_templates = (*templates.find_unreadable(data), *templates.find_untold(data))
    found = [
        *_of_call(data),
        *of_templates,
        *_zone(data),
        *_popups(data),
        *_nobody_rang(data),
        *recordings.find_missing(data),
    ]
    return list(dict.fromkeys(found))


def _upcoming(data: CallData, at: datetime | None) -> str:
    def shown(moment: datetime) -> str:
        return datetime_display.format_with_seconds(data.call.tenant, moment, now=data.now)

    moment = shown(at) if at and at > data.now else _("within a minute")
    message = str(_NEXT_STEPS[data.call.state]) % {"moment": moment}
    latest = _LATEST.get(data.call.reason)
    return f"{message} {latest[0] % {'moment': shown(latest[1](data.call))}}" if latest else message


def _skipped(data: CallData) -> Diagnosis:
    call = data.call
    if call.skip_reason == SkipReason.MANUAL:
        skip = next((one for one in reversed(data.log_entries) if one.step == Step.SKIP), None)
        message = _("Skipped permanently by %(by)s: %(reason)s")
        params = {
            "by": skip.actor if skip and skip.actor else "–",
            "reason": data.redactor.text(skip.detail) if skip else "–",
        }
        return Diagnosis(SkipReason.MANUAL, message % params)
    if call.skip_reason == SkipReason.NOT_IMPORTED:
        message = _(
            "Left out by the choice of an import of past calls: %(choice)s. Another import with another choice, or "
            "“Retry”, uploads it."
        )
        return Diagnosis(SkipReason.NOT_IMPORTED, message % {"choice": call.get_import_choice_display()})
    message = _("Skipped by a rule: %(rule)s.") % {"rule": call.get_skip_reason_display()}
    return Diagnosis(call.skip_reason, f"{message} {data.setting}".strip())


def _blocked(data: CallData) -> Diagnosis | None:
    """Return what blocks all calls of this client, if anything does."""
    call, tenant, connection = data.call, data.call.tenant, _connection(data.call)
    if call.state == State.DEBOUNCING:
        return None
    if tenant.offboarded_at:
        return Diagnosis("OFFBOARDED", _("The client is disconnected: nothing is sent."))
    if tenant.activated_at is None:
        message = _("The client is not activated: events are stored, nothing is sent.")
        return Diagnosis("NOT_ACTIVATED", message, responsible=Responsible.CLIENT)
    if tenant.is_paused:
        message = _("The client is paused: events are stored, nothing is sent.")
        return Diagnosis("PAUSED", message, responsible=Responsible.OPERATOR)
    return _blocked_by_connection(data, connection) if connection else None


def _blocked_by_connection(data: CallData, connection: Connection) -> Diagnosis | None:
    call, text = data.call, data.redactor.text
    is_uis = call.state in UIS_STATES
    if denied := denials.of_step(connection, State(call.state)):
        reason = FailureReason.UIS_DENIED if is_uis else FailureReason.CRM_DENIED
        return _of_reason(reason, text(denied.message), responsible=denied.responsible)
    if call.reason != FailureReason.UIS_QUOTA and connection.is_circuit_open(is_live=False, now=data.now):
        reason = FailureReason.UIS_UNAVAILABLE if is_uis else FailureReason.CRM_UNAVAILABLE
        return _of_reason(reason, text(call.detail))
    return None


def _waiting(data: CallData) -> Diagnosis:
    call = data.call
    if call.claim_token and call.next_attempt_at and call.next_attempt_at > data.now:
        return Diagnosis("CLAIMED", _("A worker is processing the call now."))
    if call.reason:
        return _of_reason(FailureReason(call.reason), data.redactor.text(call.detail))
    return Diagnosis("DUE", _("Queued: a worker will process it within a minute."))


def _of_reason(reason: FailureReason, detail: str, *, responsible: Responsible | None = None) -> Diagnosis:
    message = f"{capfirst(str(reason.label))}. {detail}".strip()
    return Diagnosis(reason.value, message, responsible=responsible or reason.responsible)


def _connection(call: Call) -> Connection | None:
    """Return the connection that the next step uses."""
    if call.state in UIS_STATES:
        return call.tenant.uis
    return call.tenant.crm if call.state in CRM_STATES else None


def _of_call(data: CallData) -> Iterator[Diagnosis]:
    """Yield what the call's own row and log show."""
    call, person = data.call, data.call.employee
    if data.is_rule_changed:
        message = _("The current rules would upload it: press “Retry”.")
        yield Diagnosis("RULE_CHANGED", message, responsible=Responsible.OPERATOR)
    if any(entry.step == Step.LATE_ANSWER for entry in data.log_entries):
        message = labels.late_answer(is_served=call.direction == "in" and not data.has_talk)
        yield Diagnosis("LATE_ANSWER", message, responsible=Responsible.UIS)
    if call.origin == Call.Origin.REPORT and not (data.notifications or data.own_unreadable):
        message = _("UIS sent no notification of this call: it was found in UIS's report, too late for a pop-up.")
        yield Diagnosis("NO_NOTIFICATIONS", message, responsible=Responsible.CLIENT)
    is_linked = call.crm_user_id or (person and person.crm_user_id)
    if person and not is_linked and call.state != State.SKIPPED and person.linked_by != Employee.LinkedBy.NOT_NEEDED:
        message = _("%(person)s is not linked to a CRM user: the call has no manager in the CRM.")
        yield Diagnosis("NOT_LINKED", message % {"person": data.person(person)}, responsible=Responsible.OPERATOR)


def _zone(data: CallData) -> Iterator[Diagnosis]:
    """UIS's times are hours off: its time zone is not the configured one."""
    offsets = [(one.received_at - one.happened_at).total_seconds() for one in data.notifications if one.happened_at]
    seconds = median(offsets) if offsets else 0
    off = round(seconds / ZONE_STEP_SECONDS) * ZONE_STEP_SECONDS
    if off and abs(seconds - off) <= CLOCKS_APART_SECONDS:
        message = _(
            "UIS's times differ from ours by %(hours)s h: the time zone of the UIS connection (%(zone)s) is not the "
            "account's. Pop-ups look late, and call times in the CRM are wrong."
        )
        params = {"hours": f"{-off / 3600:+g}", "zone": data.call.tenant.uis.zone}
        yield Diagnosis("ZONE", message % params, responsible=Responsible.OPERATOR)


def _popups(data: CallData) -> Iterator[Diagnosis]:
    """Why a phone rang and no pop-up was shown."""
    for stored in data.rings_without_popup:
        if stored.reason in FAULTS:
            message = _("No pop-up for %(person)s: %(reason)s.")
            reason = data.redactor.text(labels.reason(stored)).rstrip(".")
            params = {"person": data.rung_person(stored), "reason": reason}
            code = stored.suppressed_by[0] or stored.reason
            yield Diagnosis(code, message % params, responsible=_POPUP_RESPONSIBLE.get(stored.reason, ""))
    for stored in data.answers_without_ring:
        message = _("No pop-up for %(person)s: UIS told that they answered, but not that their phone rang.")
        person = data.rung_person(stored)
        yield Diagnosis("RING_NOT_TOLD", message % {"person": person}, responsible=Responsible.UIS)
    for popup in data.popups:
        if popup.unknown:
            message = _(
                "The CRM does not know %(ids)s of %(person)s, so no pop-up was shown. "
                "Link the employee, or correct the extension."
            )
            params = {"ids": ", ".join(map(str, popup.unknown)), "person": data.person(popup.employee)}
            yield Diagnosis("UNKNOWN_TO_CRM", message % params, responsible=Responsible.OPERATOR)


def _nobody_rang(data: CallData) -> Iterator[Diagnosis]:
    call, legs = data.call, data.uis_snapshot.legs
    has_rung = call.rung_employee_ids or data.popups or any(leg.is_operator for leg in legs)
    if call.is_missed and not has_rung:
        message = _("No phone rang: the call ended in the menu, in the queue, or outside business hours.")
        reasons = [labels.finish_reason(leg.finish_reason) for leg in legs if leg.finish_reason]
        detail = _("Reason given by UIS: %(reason)s.") % {"reason": reasons[-1]} if reasons else ""
        yield Diagnosis("NOBODY_RANG", f"{message} {detail}".strip())
