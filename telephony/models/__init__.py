"""The inbox, the ledger, and one line for each try."""

from telephony.models.call import Attempt, Call, Cause, Direction, Result, Step
from telephony.models.notification import Notification

__all__ = ["Attempt", "Call", "Cause", "Direction", "Notification", "Result", "Step"]
