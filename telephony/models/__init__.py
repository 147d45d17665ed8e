"""The inbox, the ledger, and one line for each try."""

from telephony.models.call import Attempt, Call, Cause, Result, Step
from telephony.models.notification import Notification

__all__ = ["Attempt", "Call", "Cause", "Notification", "Result", "Step"]
