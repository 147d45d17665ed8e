"""How often a tenant's legs are requested: a busy hour costs API points per minute, not per call.

`tests.bench.points` measures them.
"""

import functools
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from connector_project.core.compiled_queries import CompiledUpdate
from connector_project.core.jobs import CLOCKS_APART
from connector_project.core.placeholders import Placeholders
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
    return _taken(slot is None).run(pk=connection.pk, slot=slot, next=following + PACE) == 1


@functools.cache
def _taken(is_first: bool) -> CompiledUpdate:
    """Return what takes a slot unless another worker has."""

    def build(given: Placeholders) -> Any:
        same = {"legs_slot_at__isnull": True} if is_first else {"legs_slot_at": given.moment("slot")}
        return UisConnection.objects.filter(pk=given.integer("pk"), **same), {"legs_slot_at": given.moment("next")}

    return CompiledUpdate(build)


def take_next_slot(connection: UisConnection) -> None:
    """Let a request that follows the legs count, too; it need not wait."""
    UisConnection.objects.filter(pk=connection.pk).update(legs_slot_at=F("legs_slot_at") + PACE)
