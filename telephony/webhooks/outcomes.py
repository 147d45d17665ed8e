"""How the processing of a notification can end, as values."""

from dataclasses import dataclass
from datetime import datetime

from telephony.models import Notification


@dataclass(frozen=True)
class Done:
    """What the event asks for was done."""

    reason: str = ""


@dataclass(frozen=True)
class Dropped:
    """Nothing was done, for this reason."""

    reason: Notification.Reason
    detail: str = ""


@dataclass(frozen=True)
class Postponed:
    """To be tried again by the sweep."""

    until: datetime
    detail: str = ""


Outcome = Done | Dropped | Postponed
