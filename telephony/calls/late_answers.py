"""Notes calls that the CRM shows as missed although somebody talked: it accepts no correction."""

from collections.abc import Collection
from datetime import datetime

from telephony.models import Call, CallLogEntry, Step
from telephony.models.call_log import log_many


def note(calls: Collection[Call], *, now: datetime) -> bool:
    """Log the late answer of each call, once; return whether one was new. Needs a transaction and locked calls."""
    if not calls:
        return False
    entries = CallLogEntry.objects.filter(call__in=calls, step=Step.LATE_ANSWER)
    noted = set(entries.values_list("call_id", flat=True))
    new = [call for call in calls if call.pk not in noted]
    log_many(new, Step.LATE_ANSWER, now=now, reason="", detail="")
    return bool(new)
