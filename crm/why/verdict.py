"""Why a call is where it is, who must act, and what happens next. Pure."""

from collections.abc import Mapping
from datetime import datetime

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.alarms import words
from crm.why import settings
from crm.why.eyes import Eyes
from crm.why.facts import Facts
from crm.why.types import Verdict
from telephony import recording
from telephony.models import Call, Cause, Step
from telephony.models.words import OF_CRM, OF_UIS
from tenants import clock
from tenants.finding import Text
from tenants.models import Connection
from tenants.transfer import KeptBack

State = Call.State
_STEPS: Mapping[str, Text] = {
    State.SETTLING: gettext_lazy("All that was told is weighed up: %(moment)s."),
    State.COLLECTING: gettext_lazy("UIS is asked for the whole call: %(moment)s."),
    State.OWNING: gettext_lazy("The CRM is asked for the customer's manager: %(moment)s."),
    State.READY: gettext_lazy("The call is sent to the CRM: %(moment)s."),
}


def of(facts: Facts, eyes: Eyes) -> Verdict:
    """Return why the call is where it is."""
    call = facts.call
    if call.state == State.UPLOADED:
        says = _("The call is in the CRM since %(moment)s.")
        moment = clock.said_at(call.tenant, call.uploaded_at or call.recorded_at, now=facts.now)
        return Verdict(code="UPLOADED", says=says % {"moment": moment}, look="good")
    if call.state == State.SKIPPED:
        return _skipped(facts, eyes)
    if call.stopped_at:
        return _of_cause(Cause(call.cause or Cause.OUR_FAULT), eyes.text(call.says), look="bad")
    return _held_up(facts, eyes) or _waiting(facts, eyes)


def next_step(facts: Facts) -> str:
    """Return what happens next, and when, in a sentence."""
    call = facts.call
    if call.state == State.UPLOADED:
        return _("Nothing: the call is where it belongs.")
    if call.state == State.SKIPPED:
        return _("Nothing by itself. After a change of the rules press “Try again”: the call is decided anew.")
    if call.stopped_at:
        return _("Nothing by itself. When the fault is put right, press “Try again”.")
    if call.state != State.SETTLING and not call.tenant.is_live:
        return _("It goes on by itself when the client is active again.")
    if (side := _side(call)) and side.denied_at:
        return _("It goes on by itself within five minutes once that is put right.")
    return _ahead(facts)


def next_at(facts: Facts) -> datetime | None:
    """Return the moment of the next step; None where it waits for people, or for nothing."""
    call, side = facts.call, _side(facts.call)
    is_open = call.state == State.SETTLING or call.tenant.is_live
    if call.next_attempt_at is None or not is_open or (side and side.denied_at):
        return None
    return max(call.next_attempt_at, side.retry_at) if side and side.retry_at else call.next_attempt_at


def _ahead(facts: Facts) -> str:
    call, at = facts.call, next_at(facts)
    soon = _("within a minute")
    moment = clock.exactly(call.tenant, at, now=facts.now) if at and at > facts.now else soon
    says = str(_STEPS[call.state]) % {"moment": moment}
    if call.cause != Cause.RECORDING_NOT_READY:
        return says
    latest = _("Without its recording it goes at the latest at %(moment)s.")
    deadline = clock.exactly(call.tenant, recording.deadline(call), now=facts.now)
    return f"{says} {latest % {'moment': deadline}}"


def _skipped(facts: Facts, eyes: Eyes) -> Verdict:
    call = facts.call
    if call.kept_back_by == KeptBack.BY_HAND:
        last = next((one for one in reversed(facts.tries) if one.step == Step.SKIP), None)
        says = _("Skipped for good by %(by)s: %(reason)s")
        about = {"by": last.by if last and last.by else "–", "reason": eyes.text(last.says) if last else "–"}
        return Verdict(code=KeptBack.BY_HAND, says=says % about)
    says = _("A rule keeps it out of the CRM: %(rule)s.") % {"rule": call.get_kept_back_by_display()}
    return Verdict(code=call.kept_back_by, says=f"{says} {settings.told(facts)}".strip())


def _held_up(facts: Facts, eyes: Eyes) -> Verdict | None:
    """Return what holds up all calls of this client, where something does."""
    call, tenant = facts.call, facts.call.tenant
    if call.state == State.SETTLING:
        return None
    if tenant.left_at:
        return Verdict(code="LEFT", says=_("The client has left: nothing is sent any more."), look="warn")
    if tenant.activated_at is None:
        says = _("The client is not switched on: what comes in is kept, nothing is sent.")
        return Verdict(code="NOT_ACTIVATED", says=says, who=str(Cause.UIS_DENIED.who.label), look="warn")
    if tenant.is_paused:
        says = _("The client is paused: what comes in is kept, nothing is sent.")
        return Verdict(code="PAUSED", says=says, who=str(Cause.NONE.who.label), look="warn")
    return _of_side(facts, eyes)


def _of_side(facts: Facts, eyes: Eyes) -> Verdict | None:
    call, side = facts.call, _side(facts.call)
    if side is None:
        return None
    is_uis = call.state in OF_UIS
    if side.denied_at:
        cause = Cause.UIS_DENIED if is_uis else Cause.CRM_DENIED
        shut = _of_cause(cause, words.denial(side.denied_code, eyes.text(side.denied_says)), look="bad")
        return Verdict(code=shut.code, says=shut.says, look="bad", who=str(words.denial_is_for(side.denied_code).label))
    if call.cause != Cause.UIS_POINTS and side.keeps_out(is_live=False, now=facts.now):
        return _of_cause(Cause.UIS_UNAVAILABLE if is_uis else Cause.CRM_UNAVAILABLE, eyes.text(call.says), look="warn")
    return None


def _waiting(facts: Facts, eyes: Eyes) -> Verdict:
    call = facts.call
    if call.claim_token and call.next_attempt_at and call.next_attempt_at > facts.now:
        return Verdict(code="IN_HAND", says=_("A worker is at it at this moment."))
    if call.cause:
        return _of_cause(Cause(call.cause), eyes.text(call.says), look="warn")
    return Verdict(code="DUE", says=_("It is on its way: its turn comes within a minute."))


def _of_cause(cause: Cause, detail: str, *, look: str) -> Verdict:
    says = f"{capfirst(str(cause.label))}."
    return Verdict(code=cause.value, says=f"{says} {detail}".strip(), who=str(cause.who.label), look=look)


def _side(call: Call) -> Connection | None:
    """Return the account that the next step asks something of."""
    if call.state in OF_UIS:
        return call.tenant.uis
    return call.tenant.crm if call.state in OF_CRM else None
