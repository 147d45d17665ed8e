"""TEMPORARY placeholder so that imports work while the template doctor is being written: overwrite me."""

from telephony.uis.types import Event

EVENTS = (Event.WAITING, Event.OUTGOING, Event.TALK_STARTED, Event.CALL_END, Event.LOST_CALL, Event.RECORDED)
