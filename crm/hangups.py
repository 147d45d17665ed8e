"""The hangup status that the CRM gets at the end of a call: the same for everybody whose phone rang. Pure."""

from collections.abc import Mapping

from crm.retailcrm.payloads import Hangup
from telephony.calls import legs
from telephony.calls.evidence import CallEvidence, UisSnapshot
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
_NO_REPORT = UisSnapshot()


def status_of_end(evidence: CallEvidence, report: UisSnapshot = _NO_REPORT) -> Hangup:
    """Return how a call ended that is over: by its notifications, and what they do not tell by UIS's report."""
    reported = of_report(report, evidence)
    if _has_talk(evidence) or reported == Hangup.ANSWERED:
        return Hangup.ANSWERED
    reason = _told_reason(evidence)
    return reported if reported and not reason else without_talk(reason, direction=evidence.direction)


def is_reason_open(evidence: CallEvidence) -> bool:
    """Whether nobody talked in a call that is over, and no notification tells why."""
    return not (_has_talk(evidence) or _told_reason(evidence))


def of_report(report: UisSnapshot, evidence: CallEvidence) -> Hangup | None:
    """Return how UIS's report says that the call ended; None if it does not say so yet."""
    if legs.has_talk(report.legs) or (report.row and report.row.result == Result.ANSWERED):
        return Hangup.ANSWERED
    if reason := legs.finish_reason(report.legs):
        return without_talk(reason, direction=evidence.direction)
    return _STATUSES[report.row.result] if report.row and report.row.result else None


def without_talk(finish_reason: str, *, direction: str) -> Hangup:
    """Return the status of a call in which nobody talked, by UIS's reason; "" if UIS told none."""
    if finish_reasons.is_hung_up(finish_reason):
        return Hangup.CANCELLED
    result = finish_reasons.unanswered_result(finish_reason)
    if result == Result.NOT_ALLOWED and direction != "out" and not finish_reasons.is_rejection(finish_reason):
        result = Result.NO_ANSWER  # Nobody was available: a missed call.
    return _STATUSES[result]


def _has_talk(evidence: CallEvidence) -> bool:
    last = evidence.ends[-1]
    # UIS says nothing about talks by `is_lost` of an outgoing call.
    has_talk = evidence.has_talk or (last.is_lost is False and evidence.direction != "out")
    return has_talk and last.event != Event.LOST_CALL


def _told_reason(evidence: CallEvidence) -> str:
    return next((end.finish_reason for end in evidence.ends[::-1] if end.finish_reason), "")
