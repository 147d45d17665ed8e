"""Models: notifications, calls and their log, reconciliation, imports, bulk actions, recording links, access log."""

from telephony.models.attempt import Attempt
from telephony.models.call import Call
from telephony.models.errand import Errand
from telephony.models.ledger import LedgerDay
from telephony.models.look import Look
from telephony.models.notification import Notification
from telephony.models.record_link import RecordLink
from telephony.models.takeover import Takeover
from telephony.models.words import Cause, Direction, Result, State, Step

__all__ = [
    "Attempt",
    "Call",
    "Cause",
    "Direction",
    "Errand",
    "LedgerDay",
    "Look",
    "Notification",
    "RecordLink",
    "Result",
    "State",
    "Step",
    "Takeover",
]
