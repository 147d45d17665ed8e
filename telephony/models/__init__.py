"""Models: notifications, calls with log and counts, reconciliation, bulk actions, requests, links, access log."""

from telephony.models.access_log import AccessLogEntry
from telephony.models.bulk_action import BulkAction, BulkActionRow
from telephony.models.call import Call
from telephony.models.call_log import CallLogEntry
from telephony.models.choices import Direction, FailureReason, ImportChoice, Result, State, Step
from telephony.models.daily_calls import CallDelta, DailyCalls, DailyEmployeeCalls
from telephony.models.daily_reconciliation import DailyReconciliation
from telephony.models.notification import Notification
from telephony.models.outgoing_request import OutgoingRequest, RequestedCall
from telephony.models.recording_link import RecordingLink
from telephony.models.report_cursor import ReportCursor

__all__ = [
    "AccessLogEntry",
    "BulkAction",
    "BulkActionRow",
    "Call",
    "CallDelta",
    "CallLogEntry",
    "DailyCalls",
    "DailyEmployeeCalls",
    "DailyReconciliation",
    "Direction",
    "FailureReason",
    "ImportChoice",
    "Notification",
    "OutgoingRequest",
    "RecordingLink",
    "ReportCursor",
    "RequestedCall",
    "Result",
    "State",
    "Step",
]
