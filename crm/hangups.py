"""The hangup status that the CRM gets at the end of a call: the same for everybody whose phone rang. Pure."""

from collections.abc import Mapping

from crm.retailcrm.payloads import Hangup
from telephony.calls.evidence import CallEvidence
from telephony.uis import finish_reasons
from telephony.uis.types import Event, Result

_STATUSES: Mapping[Result, Hangup] = {
    Result.ANSWERED: Hangup.ANSWERED,
    Result.NO_ANSWER: Hangup.NO_ANSWER,
    Result.BUSY: Hangup.BUSY,
    Result.FAILED: Hangup.FAILED,
    Result.NOT_ALLOWED: Hangup.FAILED,  # The CRM's events have no word for it.
    Result.UNKNOWN: Hangup.NO_ANSWER,
}


def status_of_end(evidence: CallEvidence) -> Hangup:
    """Return how a call ended that is over."""
    last = evidence.ends[-1]
    # UIS says nothing about talks by `is_lost` of an outgoing call.
    has_talk = evidence.has_talk or (last.is_lost is False and evidence.direction != "out")
    if has_talk and last.event != Event.LOST_CALL:
        return Hangup.ANSWERED
    reason = next((end.finish_reason for end in evidence.ends[::-1] if end.finish_reason), "")
    return without_talk(reason, direction=evidence.direction)


def without_talk(finish_reason: str, *, direction: str) -> Hangup:
    """Return the status of a call in which nobody talked, by UIS's reason; "" if UIS told none."""
    if finish_reasons.is_hung_up(finish_reason):
        return Hangup.CANCELLED
    result = finish_reasons.unanswered_result(finish_reason)
    if result == Result.NOT_ALLOWED and direction != "out" and not finish_reasons.is_rejection(finish_reason):
        result = Result.NO_ANSWER  # Nobody was available: a missed call.
    return _STATUSES[result]
