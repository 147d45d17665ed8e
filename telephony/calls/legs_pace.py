"""How often a tenant's legs are requested: a busy hour costs API points per minute, not per call.

`tests.bench.points` measures them.
"""

from datetime import datetime, timedelta

from django.db.models import F

from connector_project.core.jobs import CLOCKS_APART
from tenants.models import UisConnection

# Five requests in a row, for legs or for rows of the report, then one in this time. Other calls wait for the next sweep
# and share a request.
PACE = timedelta(seconds=30)
BURST = 5
LOW_PRIORITY_BURST = 2  # the rest is reserved for live calls
# Nobody takes a slot so far ahead: the clock was set back since, and the slot is free.
FARTHEST_SLOT = PACE * (BURST + 1) + CLOCKS_APART


def try_acquire_slot(connection: UisConnection, *, is_low_priority: bool = False, now: datetime) -> bool:
    """Take a slot of this tenant; return False if none is free."""
    slot = connection.legs_slot_at
    following = max(slot, now) if slot and slot - now <= FARTHEST_SLOT else now
    if following - now > PACE * ((LOW_PRIORITY_BURST if is_low_priority else BURST) - 1):
        return False
    same = UisConnection.objects.filter(pk=connection.pk, legs_slot_at=slot)
    return same.update(legs_slot_at=following + PACE) == 1


def take_next_slot(connection: UisConnection) -> None:
    """Let a request that follows the legs count, too; it need not wait."""
    UisConnection.objects.filter(pk=connection.pk).update(legs_slot_at=F("legs_slot_at") + PACE)
