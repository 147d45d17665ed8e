"""What was wrong besides: faults that did not stop the call, but cost a card, a manager, a recording or time. Pure."""

from collections.abc import Iterator
from statistics import median

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm.why import finish, words
from crm.why.eyes import Eyes
from crm.why.facts import Facts, is_about
from crm.why.lines import CARD_EVENTS, FAULTS
from crm.why.types import Verdict
from telephony import lamps, recording
from telephony.models import Call, Notification, Step
from telephony.uis import templates
from tenants.finding import Who
from tenants.models import Employee
from tenants.transfer import KeptBack

# Clocks of two houses differ by seconds, zones by half hours.
ZONE_STEP_SECONDS, CLOCKS_APART_SECONDS = 1800, 120
Reason = Notification.Reason
_WHO = {
    Reason.PAUSED: Who.OPERATOR,
    Reason.CRM_DENIED: Who.CLIENT,
    Reason.NO_EMPLOYEE: Who.CLIENT,
    Reason.UNKNOWN_EMPLOYEE: Who.OPERATOR,
    Reason.CRM_AWAY: Who.CRM,
    Reason.CRM_FAILED: Who.CRM,
    Reason.STALE: Who.UIS,
}


def of(facts: Facts, eyes: Eyes) -> list[Verdict]:
    """Return them, each once."""
    found = [
        *_rule_changed(facts),
        *_told_late(facts),
        *_untold(facts),
        *_unread(facts, eyes),
        *_zone(facts),
        *_cards(facts, eyes),
        *_nobody_rang(facts),
        *_manager(facts),
        *_recording(facts),
    ]
    return list({(one.code, one.says): one for one in found}.values())


def _rule_changed(facts: Facts) -> Iterator[Verdict]:
    call = facts.call
    is_by_rule = call.state == Call.State.SKIPPED and call.kept_back_by != KeptBack.BY_HAND
    if is_by_rule and facts.kept_back_now is None:
        says = _("By the rules of today it would pass: “Try again” decides it anew.")
        yield _remark("RULE_CHANGED", says, who=Who.OPERATOR)


def _told_late(facts: Facts) -> Iterator[Verdict]:
    if any(one.step == Step.LATE for one in facts.tries):
        yield _remark("TOLD_LATE", words.sentence(Step.LATE.label), who=Who.UIS)


def _untold(facts: Facts) -> Iterator[Verdict]:
    """Say that UIS told nothing, and the call was found in its list."""
    if facts.call.origin == Call.Origin.REPORT and not facts.notices:
        says = _("UIS sent no notification of this call: it was found in UIS's list, too late for a card.")
        yield _remark("NOT_TOLD", says, who=Who.CLIENT)


def _unread(facts: Facts, eyes: Eyes) -> Iterator[Verdict]:
    """Name what is wrong with the templates of what could not be read: this call's own, else what came at that time."""
    about = [stored for stored in facts.unread if is_about(stored, facts.call)]
    if not about and facts.notices:
        return
    for stored in about or facts.unread:
        first = _("A notification of this call could not be read.")
        if not about:
            first = _("A notification that came at that time could not be read.")
        for fault in templates.faults(stored.path_event, stored.query, stored.body)[:1]:
            yield _remark("UNREADABLE", f"{first} {eyes.text(lamps.says(fault))}", who=Who.CLIENT)


def _zone(facts: Facts) -> Iterator[Verdict]:
    """Say that UIS's times are hours off: its zone is not the one that is set."""
    told = [one.stored for one in facts.notices if one.stored.happened_at]
    apart = [(one.received_at - one.happened_at).total_seconds() for one in told if one.happened_at]
    if not apart:
        return
    seconds = median(apart)
    off = round(seconds / ZONE_STEP_SECONDS) * ZONE_STEP_SECONDS
    if off and abs(seconds - off) <= CLOCKS_APART_SECONDS:
        says = _(
            "UIS's times are %(hours)s h off ours: the zone of the UIS connection (%(zone)s) is not the account's. "
            "Cards come as if too late, and times in the CRM are wrong."
        )
        zone = facts.call.tenant.uis.zone
        yield _remark("ZONE", says % {"hours": f"{-off / 3600:+g}", "zone": zone}, who=Who.OPERATOR)


def _cards(facts: Facts, eyes: Eyes) -> Iterator[Verdict]:
    """Say why a phone rang and no card came."""
    for notice in facts.notices:
        stored = notice.stored
        if stored.event in CARD_EVENTS and stored.outcome == stored.Outcome.DROPPED and stored.reason in FAULTS:
            person = facts.name(stored.employee_uis_id) or _("nobody named")
            says = _("No card for %(person)s: %(reason)s.")
            about = {"person": person, "reason": eyes.text(words.reason(stored)).rstrip(".")}
            code = stored.detail if stored.reason == Reason.RULE else stored.reason
            yield _remark(code, says % about, who=_WHO.get(Reason(stored.reason)))
    for card in facts.cards:
        if card.unknown:
            says = _("The CRM does not know %(ids)s of %(person)s: he saw no card. Bind him, or correct his extension.")
            about = {"ids": ", ".join(map(str, card.unknown)), "person": str(card.employee)}
            yield _remark("UNKNOWN_TO_CRM", says % about, who=Who.OPERATOR)


def _nobody_rang(facts: Facts) -> Iterator[Verdict]:
    call = facts.call
    people = [leg for leg in facts.asked.legs if leg.is_operator]
    if not call.is_missed or call.rung_ids or people or facts.cards:
        return
    says = _("No phone rang: the call ended in the menu, in the queue, or out of hours.")
    reasons = [finish.told(leg.finish_reason) for leg in facts.asked.legs if leg.finish_reason]
    detail = _("UIS says: %(reason)s.") % {"reason": reasons[-1]} if reasons else ""
    yield _remark("NOBODY_RANG", f"{says} {detail}".strip(), who=None)


def _manager(facts: Facts) -> Iterator[Verdict]:
    """Say that the record has no manager, since its owner has no user in the CRM."""
    person = facts.call.employee
    is_kept_back = facts.call.state == Call.State.SKIPPED
    if person is None or is_kept_back or facts.call.crm_user_id or person.crm_user_id:
        return
    if person.linked_by != Employee.LinkedBy.NOT_NEEDED:
        says = _("%(person)s is bound to no user of the CRM: the call has no manager there.")
        yield _remark("NOT_BOUND", says % {"person": person}, who=Who.OPERATOR)


def _recording(facts: Facts) -> Iterator[Verdict]:
    """Say why the CRM has no recording of a talk."""
    call = facts.call
    if not call.is_answered or call.state != Call.State.UPLOADED or recording.was_passed(call, facts.tries):
        return
    person = call.employee
    if not call.tenant.rules.send_recording:
        yield _remark("RECORDING_NOT_PASSED", _("The recording's link is not passed, by the rule."), who=None)
    elif person is not None and not call.record_url and person.recorded_directions not in {"all", call.direction}:
        says = _("UIS does not record the calls of %(person)s: recording is switched off for him there.")
        yield _remark("RECORDING_OFF", says % {"person": person}, who=Who.CLIENT)
    else:
        minutes = call.tenant.rules.recording_wait_minutes
        says = ngettext(
            "UIS had no recording within %(count)d minute: the call went without it.",
            "UIS had no recording within %(count)d minutes: the call went without it.",
            minutes,
        )
        yield _remark("RECORDING_LATE", says % {"count": minutes}, who=Who.UIS)


def _remark(code: str, says: str, *, who: Who | None) -> Verdict:
    return Verdict(code=str(code), says=says, who=str(who.label) if who else "", look="warn" if who else "")
