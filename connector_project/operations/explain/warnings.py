"""Other problems: what did not fail the call, but cost a pop-up, a manager, a recording or time. Pure."""

from collections.abc import Iterator
from statistics import median

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connector_project.core.check_results import Responsible
from connector_project.operations.explain import finish_reason_labels, labels
from connector_project.operations.explain.data import CallData, is_about
from connector_project.operations.explain.redactor import Redactor
from connector_project.operations.explain.timeline import CARD_EVENTS, FAULTS
from connector_project.operations.explain.types import Diagnosis
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


def find_warnings(facts: CallData, redactor: Redactor) -> list[Diagnosis]:
    """Return the problems, each once."""
    found = [
        *_rule_changed(facts),
        *_late_answer(facts),
        *_no_notifications(facts),
        *_unreadable(facts, redactor),
        *_zone(facts),
        *_popups(facts, redactor),
        *_nobody_rang(facts),
        *_manager(facts),
        *_recording(facts),
    ]
    return list({(one.reason, one.message): one for one in found}.values())


def _rule_changed(facts: CallData) -> Iterator[Diagnosis]:
    call = facts.call
    is_by_rule = call.state == Call.State.SKIPPED and call.skip_reason != SkipReason.MANUAL
    if is_by_rule and facts.current_skip_reason is None:
        message = _("The current rules would upload it: press “Retry”.")
        yield _problem("RULE_CHANGED", message, who=Responsible.OPERATOR)


def _late_answer(facts: CallData) -> Iterator[Diagnosis]:
    if any(one.step == Step.LATE_ANSWER for one in facts.log_entries):
        yield _problem("TOLD_LATE", labels.sentence(Step.LATE_ANSWER.label), who=Responsible.UIS)


def _no_notifications(facts: CallData) -> Iterator[Diagnosis]:
    """UIS sent no notification, and the call was found in its report."""
    if facts.call.origin == Call.Origin.REPORT and not facts.notifications:
        message = _("UIS sent no notification of this call: it was found in UIS's report, too late for a pop-up.")
        yield _problem("NOT_TOLD", message, who=Responsible.CLIENT)


def _unreadable(facts: CallData, redactor: Redactor) -> Iterator[Diagnosis]:
    """Template errors of this call's unreadable notifications, else of those that came at that time."""
    own = [stored for stored in facts.unreadable if is_about(stored, facts.call)]
    if not own and facts.notifications:
        return
    for stored in own or facts.unreadable:
        prefix = _("A notification of this call could not be read.")
        if not own:
            prefix = _("A notification that came at that time could not be read.")
        for error in webhook_templates.faults(stored.event_in_url, stored.query, stored.body)[:1]:
            yield _problem(
                "UNREADABLE", f"{prefix} {redactor.text(status.fault_message(error))}", who=Responsible.CLIENT
            )


def _zone(facts: CallData) -> Iterator[Diagnosis]:
    """UIS's times are hours off: its time zone is not the configured one."""
    dated = [one.stored for one in facts.notifications if one.stored.happened_at]
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
        zone = facts.call.tenant.uis.zone
        yield _problem("ZONE", message % {"hours": f"{-off / 3600:+g}", "zone": zone}, who=Responsible.OPERATOR)


def _popups(facts: CallData, redactor: Redactor) -> Iterator[Diagnosis]:
    """Why a phone rang and no pop-up was shown."""
    for notification in facts.notifications:
        stored = notification.stored
        if stored.event in CARD_EVENTS and stored.outcome == stored.Outcome.DROPPED and stored.reason in FAULTS:
            person = facts.name(stored.employee_uis_id) or _("no employee given")
            message = _("No pop-up for %(person)s: %(reason)s.")
            params = {"person": person, "reason": redactor.text(labels.reason(stored)).rstrip(".")}
            code = stored.detail if stored.reason == Reason.RULE else stored.reason
            yield _problem(code, message % params, who=_RESPONSIBLE.get(Reason(stored.reason)))
    for popup in facts.popups:
        if popup.unknown:
            message = _(
                "The CRM does not know %(ids)s of %(person)s, so no pop-up was shown. "
                "Link the employee, or correct the extension."
            )
            params = {"ids": ", ".join(map(str, popup.unknown)), "person": str(popup.employee)}
            yield _problem("UNKNOWN_TO_CRM", message % params, who=Responsible.OPERATOR)


def _nobody_rang(facts: CallData) -> Iterator[Diagnosis]:
    call = facts.call
    employee_legs = [leg for leg in facts.uis_snapshot.legs if leg.is_operator]
    if not call.is_missed or call.rung_employee_ids or employee_legs or facts.popups:
        return
    message = _("No phone rang: the call ended in the menu, in the queue, or outside business hours.")
    reasons = [finish_reason_labels.label(leg.finish_reason) for leg in facts.uis_snapshot.legs if leg.finish_reason]
    detail = _("Reason given by UIS: %(reason)s.") % {"reason": reasons[-1]} if reasons else ""
    yield _problem("NOBODY_RANG", f"{message} {detail}".strip(), who=None)


def _manager(facts: CallData) -> Iterator[Diagnosis]:
    """The record has no manager, since its owner has no user in the CRM."""
    person = facts.call.employee
    is_skipped = facts.call.state == Call.State.SKIPPED
    if person is None or is_skipped or facts.call.crm_user_id or person.crm_user_id:
        return
    if person.linked_by != Employee.LinkedBy.NOT_NEEDED:
        message = _("%(person)s is not linked to a CRM user: the call has no manager in the CRM.")
        yield _problem("NOT_BOUND", message % {"person": person}, who=Responsible.OPERATOR)


def _recording(facts: CallData) -> Iterator[Diagnosis]:
    """Why the CRM has no recording of a talk."""
    call = facts.call
    if (
        not call.is_answered
        or call.state != Call.State.UPLOADED
        or recording_selection.was_passed(call, facts.log_entries)
    ):
        return
    person = call.employee
    if not call.tenant.rules.send_recording:
        yield _problem("RECORDING_NOT_PASSED", _("By the rules, the recording link is not sent."), who=None)
    elif person is not None and not call.recording_url and person.recording_mode not in {"all", call.direction}:
        message = _("UIS does not record the calls of %(person)s: recording is switched off there.")
        yield _problem("RECORDING_OFF", message % {"person": person}, who=Responsible.CLIENT)
    else:
        minutes = call.tenant.rules.recording_wait_minutes
        message = ngettext(
            "UIS had no recording within %(count)d minute: the call was uploaded without it.",
            "UIS had no recording within %(count)d minutes: the call was uploaded without it.",
            minutes,
        )
        yield _problem("RECORDING_LATE", message % {"count": minutes}, who=Responsible.UIS)


def _problem(code: str, message: str, *, who: Responsible | None) -> Diagnosis:
    return Diagnosis(
        reason=str(code), message=message, responsible=str(who.label) if who else "", css_class="warn" if who else ""
    )
