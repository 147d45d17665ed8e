"""The inbox, the calls, one line for each try, and what each day came to."""

from telephony.models.call import Attempt, Call
from telephony.models.ledger import LedgerDay
from telephony.models.notification import Notification
from telephony.models.words import Cause, Direction, Result, Step

__all__ = ["Attempt", "Call", "Cause", "Direction", "LedgerDay", "Notification", "Result", "Step"]
