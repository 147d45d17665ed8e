"""Other problems: what did not fail the call, but cost a pop-up, a manager, a recording or time. Pure."""

from collections.abc import Iterator
from statistics import median

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connector_project.core.check_results import Responsible
from connector_project.operations.explain import labels
from connector_project.operations.explain.data import CallData, Diagnosis, Redactor, is_about
from connector_project.operations.explain.popup_timing import POPUP_EVENTS
from connector_project.operations.explain.timeline import FAULTS
from telephony.calls import recording_selection
from telephony.models import Call, Notification, Step
from telephony.uis import webhook_templates
from telephony.webhooks import status
from tenants.models import Employee
from tenants.transfer_rules import SkipReason

# Clocks of two systems differ by seconds, time zones by half hours.
ZONE_STEP_SECONDS, CLOCKS_APART_SECONDS = 1800, 120
Reason = Notification.Reason
_RESPONSIBLE = {
    Reason.PAUSED: Responsible.OPERATOR,
    Reason.CRM_DENIED: Responsible.CLIENT,
    Reason.NO_EMPLOYEE: Responsible.CLIENT,
    Reason.UNKNOWN_EMPLOYEE: Responsible.OPERATOR,
    Reason.CRM_AWAY: Responsible.CRM,
    Reason.CRM_FAILED: Responsible.CRM,
    Reason.STALE: Responsible.UIS,
}


def find_warnings(data: CallData, redactor: Redactor) -> list[Diagnosis]:
    """Return the problems, each once."""
    found = [
        *_rule_changed(data),
        *_late_answer(data),
        *_no_notifications(data),
        *_unreadable(data, redactor),
        *_zone(data),
        *_popups(data, redactor),
        *_nobody_rang(data),
        *_manager(data),
        *_recording(data),
    ]
    return list({(one.reason, one.message): one for one in found}.values())


def _rule_changed(data: CallData) -> Iterator[Diagnosis]:
    call = data.call
    is_by_rule = call.state == Call.State.SKIPPED and call.skip_reason != SkipReason.MANUAL
    if is_by_rule and data.current_skip_reason is None:
        message = _("The current rules would upload it: press “Retry”.")
        yield _problem("RULE_CHANGED", message, responsible=Responsible.OPERATOR)


def _late_answer(data: CallData) -> Iterator[Diagnosis]:
    if any(entry.step == Step.LATE_ANSWER for entry in data.log_entries):
        yield _problem("LATE_ANSWER", labels.sentence(Step.LATE_ANSWER.label), responsible=Responsible.UIS)


def _no_notifications(data: CallData) -> Iterator[Diagnosis]:
    """UIS sent no notification, and the call was found in its report."""
    if data.call.origin == Call.Origin.REPORT and not data.notifications:
        message = _("UIS sent no notification of this call: it was found in UIS's report, too late for a pop-up.")
        yield _problem("NO_NOTIFICATIONS", message, responsible=Responsible.CLIENT)


def _unreadable(data: CallData, redactor: Redactor) -> Iterator[Diagnosis]:
    """Template errors of this call's unreadable notifications, else of those that came at that time."""
    own = [stored for stored in data.unreadable if is_about(stored, data.call)]
    if not own and data.notifications:
        return
    for stored in own or data.unreadable:
        prefix = _("A notification of this call could not be read.")
        if not own:
            prefix = _("A notification that came at that time could not be read.")
        for error in webhook_templates.faults(stored.event_in_url, stored.query, stored.body)[:1]:
            yield _problem(
                "UNREADABLE", f"{prefix} {redactor.text(status.fault_message(error))}", responsible=Responsible.CLIENT
            )


def _zone(data: CallData) -> Iterator[Diagnosis]:
    """UIS's times are hours off: its time zone is not the configured one."""
    dated = [stored for stored in data.notifications if stored.happened_at]
    offsets = [(one.received_at - one.happened_at).total_seconds() for one in dated if one.happened_at]
    if not offsets:
        return
    seconds = median(offsets)
    off = round(seconds / ZONE_STEP_SECONDS) * ZONE_STEP_SECONDS
    if off and abs(seconds - off) <= CLOCKS_APART_SECONDS:
        message = _(
            "UIS's times differ from ours by %(hours)s h: the time zone of the UIS connection (%(zone)s) is not the "
            "account's. Pop-ups look late, and call times in the CRM are wrong."
        )
        zone = data.call.tenant.uis.zone
        yield _problem("ZONE", message % {"hours": f"{-off / 3600:+g}", "zone": zone}, responsible=Responsible.OPERATOR)


def _popups(data: CallData, redactor: Redactor) -> Iterator[Diagnosis]:
    """Why a phone rang and no pop-up was shown."""
    for stored in data.notifications:
        if stored.event in POPUP_EVENTS and stored.outcome == stored.Outcome.DROPPED and stored.reason in FAULTS:
            person = data.name(stored.employee_uis_id) or _("no employee given")
            message = _("No pop-up for %(person)s: %(reason)s.")
            params = {"person": person, "reason": redactor.text(labels.reason(stored)).rstrip(".")}
            code = stored.detail if stored.reason == Reason.RULE else stored.reason
            yield _problem(code, message % params, responsible=_RESPONSIBLE.get(Reason(stored.reason)))
    for popup in data.popups:
        if popup.unknown:
            message = _(
                "The CRM does not know %(ids)s of %(person)s, so no pop-up was shown. "
                "Link the employee, or correct the extension."
            )
            params = {"ids": ", ".join(map(str, popup.unknown)), "person": str(popup.employee)}
            yield _problem("UNKNOWN_TO_CRM", message % params, responsible=Responsible.OPERATOR)


def _nobody_rang(data: CallData) -> Iterator[Diagnosis]:
    call = data.call
    employee_legs = [leg for leg in data.uis_snapshot.legs if leg.is_operator]
    if not call.is_missed or call.rung_employee_ids or employee_legs or data.popups:
        return
    message = _("No phone rang: the call ended in the menu, in the queue, or outside business hours.")
    reasons = [labels.finish_reason(leg.finish_reason) for leg in data.uis_snapshot.legs if leg.finish_reason]
    detail = _("Reason given by UIS: %(reason)s.") % {"reason": reasons[-1]} if reasons else ""
    yield _problem("NOBODY_RANG", f"{message} {detail}".strip(), responsible=None)


def _manager(data: CallData) -> Iterator[Diagnosis]:
    """The record has no manager, since its owner has no user in the CRM."""
    person = data.call.employee
    is_skipped = data.call.state == Call.State.SKIPPED
    if person is None or is_skipped or data.call.crm_user_id or person.crm_user_id:
        return
    if person.linked_by != Employee.LinkedBy.NOT_NEEDED:
        message = _("%(person)s is not linked to a CRM user: the call has no manager in the CRM.")
        yield _problem("NOT_LINKED", message % {"person": person}, responsible=Responsible.OPERATOR)


def _recording(data: CallData) -> Iterator[Diagnosis]:
    """Why the CRM has no recording of a talk."""
    call = data.call
    if (
        not call.is_answered
        or call.state != Call.State.UPLOADED
        or recording_selection.was_passed(call, data.log_entries)
    ):
        return
    person = call.employee
    if not call.tenant.rules.send_recording:
        yield _problem("RECORDING_NOT_PASSED", _("By the rules, the recording link is not sent."), responsible=None)
    elif person is not None and not call.recording_url and person.recording_mode not in {"all", call.direction}:
        message = _("UIS does not record the calls of %(person)s: recording is switched off there.")
        yield _problem("RECORDING_OFF", message % {"person": person}, responsible=Responsible.CLIENT)
    else:
        minutes = call.tenant.rules.recording_wait_minutes
        message = ngettext(
            "UIS had no recording within %(count)d minute: the call was uploaded without it.",
            "UIS had no recording within %(count)d minutes: the call was uploaded without it.",
            minutes,
        )
        yield _problem("RECORDING_LATE", message % {"count": minutes}, responsible=Responsible.UIS)


def _problem(code: str, message: str, *, responsible: Responsible | None) -> Diagnosis:
    return Diagnosis(
        reason=str(code),
        message=message,
        responsible=responsible,
        css_class="warn" if responsible else "",
    )
