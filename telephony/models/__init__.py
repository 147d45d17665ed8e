"""The inbox, the calls, one line for each try, what each day came to, and periods that people take over."""

from telephony.models.attempt import Attempt
from telephony.models.call import Call
from telephony.models.ledger import LedgerDay
from telephony.models.notification import Notification
from telephony.models.takeover import Takeover
from telephony.models.words import Cause, Direction, Result, State, Step

__all__ = ["Attempt", "Call", "Cause", "Direction", "LedgerDay", "Notification", "Result", "State", "Step", "Takeover"]
