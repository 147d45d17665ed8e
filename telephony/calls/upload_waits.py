"""What the upload of a call whose evidence is complete still waits for, and until when it is asked for again."""

from datetime import datetime, timedelta

from telephony.calls import recording_selection, report_facts, voice_mail
from telephony.calls.resolution import CallResolution
from telephony.calls.sources import StaffDirectory
from telephony.models import Call, FailureReason

RECORDING_PAUSES_SECONDS = (15, 60, 300, 900)


def next_wait(
    call: Call, resolution: CallResolution, staff: StaffDirectory, *, may_ask_report: bool, now: datetime
) -> tuple[FailureReason, datetime] | None:
    """Return why the upload waits, and when UIS is asked again; None if it waits for nothing."""
    if may_ask_report and resolution.is_lost and voice_mail.is_awaited(call, resolution, staff, now=now):
        return FailureReason.VOICE_MAIL_NOT_READY, voice_mail.next_check_at(call, now=now)
    if recording_selection.is_awaited(call, resolution, staff, now=now):
        return FailureReason.RECORDING_NOT_READY, _next_recording_check_at(call, now=now)
    if may_ask_report and report_facts.is_awaited(call, now=now):
        return FailureReason.REPORT_NOT_READY, report_facts.next_check_at(call, now=now)
    return None


def _next_recording_check_at(call: Call, *, now: datetime) -> datetime:
    pause = RECORDING_PAUSES_SECONDS[min(call.attempts, len(RECORDING_PAUSES_SECONDS)) - 1]
    return min(now + timedelta(seconds=pause), recording_selection.deadline(call))
