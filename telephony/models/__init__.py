"""The inbox, the ledger, and one line for each try."""

from telephony.models.call import Attempt, Call
from telephony.models.notification import Notification
from telephony.models.words import Cause, Direction, Result, Step

__all__ = ["Attempt", "Call", "Cause", "Direction", "Notification", "Result", "Step"]
