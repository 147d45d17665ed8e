"""Which calls are due, and who may have them: the moves of many rows at once."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import models

from telephony.models.words import OF_CRM, OF_UIS, Cause, State
from tenants import breaker
from tenants.models import Connection, CrmConnection, UisConnection

if TYPE_CHECKING:
    from telephony.models.call import Call

LEASE = timedelta(minutes=3)  # longer than a task may run
# After an outage longer than this, calls that come in now go first.
LIVELY = timedelta(minutes=15)
SUSPECT = 4  # tries that failed by themselves


class CallQuerySet(models.QuerySet["Call"]):
    """The calls of any client."""

    def due(self, *, now: datetime) -> "CallQuerySet":
        """Calls to be worked on: their time has come, nobody stopped them, and their client's doors are open."""
        is_live = models.Q(tenant__is_paused=False, tenant__activated_at__isnull=False)
        # What settles is only decided: nothing leaves the house for it.
        return self.filter(models.Q(state=State.SETTLING) | is_live, next_attempt_at__lte=now).exclude(
            models.Q(state__in=OF_UIS) & _is_shut("tenant__uis", now)
            | models.Q(state__in=OF_CRM) & _is_shut("tenant__crm", now)
        )

    def claim(
        self, tenant_id: int, state: State, *, limit: int, now: datetime, is_backlog: bool | None = None
    ) -> list["Call"]:
        """Take the due calls of one tenant for this worker: attempt counted, lease set, in one UPDATE.

        Old calls found late stand behind those of today, however long they have been due; `is_backlog` asks for only
        the ones or the others. A vendor that has not answered lately is asked for one call first.
        """
        due = self.due(now=now).filter(tenant=tenant_id, state=state).order_by("is_backlog", "next_attempt_at")
        if is_backlog is not None:
            due = due.filter(is_backlog=is_backlog)
        chosen = list(due.values_list("pk", flat=True)[:limit])
        if not chosen or self.in_hand(tenant_id, state, now=now) >= breaker.AT_ONCE:
            return []
        connection = _connection(tenant_id, state)
        if connection is not None and connection.failures:
            chosen = chosen[:1] if connection.may_probe(now=now) else []
        token = uuid.uuid4()
        # The second look at next_attempt_at is what makes one of two workers go without.
        self.filter(pk__in=chosen, state=state, next_attempt_at__lte=now).update(
            claim_token=token, attempts=models.F("attempts") + 1, next_attempt_at=now + LEASE
        )
        return list(self.filter(pk__in=chosen, claim_token=token).whole())

    def wake(self, tenant_id: int, states: Sequence[State], cause: Cause, *, now: datetime) -> int:
        """Make due what only waited for a vendor that answers again; old calls stand behind those of today.

        A call that failed by itself again and again keeps its own pauses: it may be what the vendor stumbles over.
        """
        waiting = self.filter(tenant=tenant_id, state__in=states, stopped_at=None, claim_token=None)
        waiting.filter(ended_at__lt=now - LIVELY, is_backlog=False).update(is_backlog=True)
        kept = waiting.filter(cause=cause, attempts__lt=SUSPECT)
        return kept.filter(next_attempt_at__gt=now).update(next_attempt_at=now)

    def in_hand(self, tenant_id: int, state: State, *, now: datetime) -> int:
        """Return how many workers are at this client's calls of one state."""
        held = self.filter(tenant=tenant_id, state=state, claim_token__isnull=False, next_attempt_at__gt=now)
        return held.order_by().values("claim_token").distinct().count()

    def whole(self) -> "CallQuerySet":
        """Calls with all that a step looks at, in one query however many there are."""
        needed = ("tenant__uis", "tenant__crm", "tenant__rules", "employee")
        return self.select_related(*needed).order_by("started_at", "pk")

    def with_history(self) -> "CallQuerySet":
        """Calls with each try, and by whom it was, in two queries more however many there are."""
        return self.prefetch_related("history__by")

    def still_ours(self, batch: Sequence["Call"]) -> list["Call"]:
        """Lock and read anew the claimed calls that are still this worker's, to write how the claim ended.

        Between claim and finish a notification may have told more of a call; what it wrote must not be overwritten.
        """
        tokens = {call.claim_token for call in batch}
        mine = self.filter(pk__in=[call.pk for call in batch], claim_token__in=tokens)
        return list(mine.select_for_update(of=("self",)).whole())


def _is_shut(side: str, now: datetime) -> models.Q:
    """Return the condition that the other side does not let us in, or has not answered lately."""
    return models.Q((f"{side}__denied_at__isnull", False)) | models.Q((f"{side}__retry_at__gt", now))


def _connection(tenant_id: int, state: State) -> Connection | None:
    """Return the account that the next step of a call in this state asks something of."""
    side = UisConnection if state in OF_UIS else CrmConnection if state in OF_CRM else None
    return side._default_manager.get(tenant=tenant_id) if side else None
