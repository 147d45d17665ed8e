"""The inbox, the calls, one line for each try, and what each day came to."""

from telephony.models.attempt import Attempt
from telephony.models.call import Call
from telephony.models.errand import Errand
from telephony.models.ledger import LedgerDay
from telephony.models.notification import Notification
from telephony.models.words import Cause, Direction, Result, State, Step

__all__ = ["Attempt", "Call", "Cause", "Direction", "Errand", "LedgerDay", "Notification", "Result", "State", "Step"]
