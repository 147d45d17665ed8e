"""Why a call is in its state, who is responsible, and what happens next. Pure."""

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
_NEXT_STEPS: Mapping[str, Text] = {
    State.SETTLING: gettext_lazy("The events will be merged: %(moment)s."),
    State.COLLECTING: gettext_lazy("Legs and recording will be requested from UIS: %(moment)s."),
    State.OWNING: gettext_lazy("The CRM will be asked for the customer's manager: %(moment)s."),
    State.READY: gettext_lazy("The call will be uploaded to the CRM: %(moment)s."),
}


def of(facts: Facts, redactor: Eyes) -> Verdict:
    """Return why the call is in its state."""
    call = facts.call
    if call.state == State.UPLOADED:
        message = _("The call was uploaded to the CRM: %(moment)s.")
        moment = clock.said_at(call.tenant, call.uploaded_at or call.recorded_at, now=facts.now)
        return Verdict(code="UPLOADED", says=message % {"moment": moment}, look="good")
    if call.state == State.SKIPPED:
        return _skipped(facts, redactor)
    if call.stopped_at:
        return _of_reason(Cause(call.cause or Cause.OUR_FAULT), redactor.text(call.says), look="bad")
    return _held_up(facts, redactor) or _waiting(facts, redactor)


def next_step(facts: Facts) -> str:
    """Return what happens next, and when."""
    call = facts.call
    if call.state == State.UPLOADED:
        return _("Nothing: the call is in the CRM.")
    if call.state == State.SKIPPED:
        return _("Nothing automatically. After a change of the rules press “Retry”.")
    if call.stopped_at:
        return _("Nothing automatically. Fix the problem, then press “Retry”.")
    if call.state != State.SETTLING and not call.tenant.is_live:
        return _("It continues automatically when the client is active again.")
    if (connection := _connection(call)) and connection.denied_at:
        return _("It continues automatically within five minutes after the problem is fixed.")
    return _upcoming(facts)


def next_at(facts: Facts) -> datetime | None:
    """Return the time of the next step; None if it waits for a person, or none follows."""
    call, connection = facts.call, _connection(facts.call)
    is_open = call.state == State.SETTLING or call.tenant.is_live
    if call.next_attempt_at is None or not is_open or (connection and connection.denied_at):
        return None
    return (
        max(call.next_attempt_at, connection.retry_at) if connection and connection.retry_at else call.next_attempt_at
    )


def _upcoming(facts: Facts) -> str:
    call, at = facts.call, next_at(facts)
    soon = _("within a minute")
    moment = clock.exactly(call.tenant, at, now=facts.now) if at and at > facts.now else soon
    message = str(_NEXT_STEPS[call.state]) % {"moment": moment}
    if call.cause != Cause.RECORDING_NOT_READY:
        return message
    latest = _("Without a recording it is uploaded at %(moment)s at the latest.")
    deadline = clock.exactly(call.tenant, recording.deadline(call), now=facts.now)
    return f"{message} {latest % {'moment': deadline}}"


def _skipped(facts: Facts, redactor: Eyes) -> Verdict:
    call = facts.call
    if call.kept_back_by == KeptBack.BY_HAND:
        skip = next((one for one in reversed(facts.tries) if one.step == Step.SKIP), None)
        message = _("Skipped permanently by %(by)s: %(reason)s")
        params = {"by": skip.by if skip and skip.by else "–", "reason": redactor.text(skip.says) if skip else "–"}
        return Verdict(code=KeptBack.BY_HAND, says=message % params)
    message = _("Skipped by a rule: %(rule)s.") % {"rule": call.get_kept_back_by_display()}
    return Verdict(code=call.kept_back_by, says=f"{message} {settings.told(facts)}".strip())


def _held_up(facts: Facts, redactor: Eyes) -> Verdict | None:
    """Return what blocks all calls of this client, if anything does."""
    call, tenant = facts.call, facts.call.tenant
    if call.state == State.SETTLING:
        return None
    if tenant.left_at:
        return Verdict(code="LEFT", says=_("The client is disconnected: nothing is sent."), look="warn")
    if tenant.activated_at is None:
        message = _("The client is not activated: events are stored, nothing is sent.")
        return Verdict(code="NOT_ACTIVATED", says=message, who=str(Cause.UIS_DENIED.who.label), look="warn")
    if tenant.is_paused:
        message = _("The client is paused: events are stored, nothing is sent.")
        return Verdict(code="PAUSED", says=message, who=str(Cause.NONE.who.label), look="warn")
    return _blocked_by_connection(facts, redactor)


def _blocked_by_connection(facts: Facts, redactor: Eyes) -> Verdict | None:
    call, connection = facts.call, _connection(facts.call)
    if connection is None:
        return None
    is_uis = call.state in OF_UIS
    if connection.denied_at:
        cause = Cause.UIS_DENIED if is_uis else Cause.CRM_DENIED
        denied = _of_reason(
            cause, words.denial(connection.denied_code, redactor.text(connection.denied_says)), look="bad"
        )
        return Verdict(
            code=denied.code, says=denied.says, look="bad", who=str(words.denial_is_for(connection.denied_code).label)
        )
    if call.cause != Cause.UIS_POINTS and connection.keeps_out(is_live=False, now=facts.now):
        return _of_reason(
            Cause.UIS_UNAVAILABLE if is_uis else Cause.CRM_UNAVAILABLE, redactor.text(call.says), look="warn"
        )
    return None


def _waiting(facts: Facts, redactor: Eyes) -> Verdict:
    call = facts.call
    if call.claim_token and call.next_attempt_at and call.next_attempt_at > facts.now:
        return Verdict(code="IN_HAND", says=_("A worker is processing the call now."))
    if call.cause:
        return _of_reason(Cause(call.cause), redactor.text(call.says), look="warn")
    return Verdict(code="DUE", says=_("Queued: a worker will process it within a minute."))


def _of_reason(cause: Cause, detail: str, *, look: str) -> Verdict:
    message = f"{capfirst(str(cause.label))}."
    return Verdict(code=cause.value, says=f"{message} {detail}".strip(), who=str(cause.who.label), look=look)


def _connection(call: Call) -> Connection | None:
    """Return the connection that the next step uses."""
    if call.state in OF_UIS:
        return call.tenant.uis
    return call.tenant.crm if call.state in OF_CRM else None
