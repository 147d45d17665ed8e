"""The QuerySet of calls: due, claim and lease."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models, transaction

from connector_project.core import circuit_breaker, jobs
from connector_project.core.jobs import LeasedQuerySet
from connector_project.core.transactions import run_again_on_conflict
from telephony.models import call_statements
from telephony.models.choices import (
    CRM_STATES,
    NEEDED_RIGHTS,
    OPEN_STATES,
    UIS_STATES,
    Direction,
    FailureReason,
    Result,
    State,
)
from telephony.models.retries import SUSPECT_AFTER_ATTEMPTS
from tenants.models import Connection, Tenant

if TYPE_CHECKING:
    from telephony.models.call import Call

# A call that has been due for longer was waiting, not tried: for a vendor, for a person or for us.
NOT_TRIED_FOR = timedelta(days=1)
# The same at the moment when a vendor answers or allows again.
WAITED_FOR = timedelta(hours=1)
# Calls older than this get low priority after an outage, so that new calls go first.
LIVE_WINDOW = timedelta(minutes=15)
# Reasons of failed attempts that another call of the same batch may have caused.
SHARED_REASONS = (FailureReason.UIS_UNAVAILABLE, FailureReason.CRM_UNAVAILABLE, FailureReason.UNEXPECTED_REPLY)
# A call that may break its batch: it is taken alone.
SUSPECT = models.Q(attempts__gte=SUSPECT_AFTER_ATTEMPTS, reason__in=SHARED_REASONS) | jobs.SUSPECT

# The same as Call.is_missed, unless the legs have a better result.
MISSED = models.Q(direction=Direction.IN, is_lost=True, talk_seconds=0) & ~models.Q(result=Result.ANSWERED)


class CallQuerySet(LeasedQuerySet["Call"]):
    def open(self) -> "CallQuerySet":
        """Return calls on their way to the CRM, failed ones included."""
        return self.filter(state__in=OPEN_STATES)

    def missed(self) -> "CallQuerySet":
        """Return incoming calls that nobody answered."""
        return self.filter(MISSED)

    def due(self, *, now: datetime) -> "CallQuerySet":
        """Return calls to process now: not failed, client active, and the vendor of the next step available."""
        is_live = models.Q(tenant__is_paused=False, tenant__activated_at__isnull=False)
        # Debounced calls are only evaluated, without remote requests, so a client's pause does not matter.
        return (
            self._unfinished(now)
            .filter(models.Q(state=State.DEBOUNCING) | is_live)
            .exclude(
                models.Q(state__in=UIS_STATES) & _is_unavailable("tenant__uis", now)
                | models.Q(state__in=CRM_STATES) & _is_unavailable("tenant__crm", now)
            )
        )

    def _unfinished(self, now: Any) -> "CallQuerySet":
        return self.filter(~jobs.BROKEN, next_attempt_at__lte=now)

    def claim(
        self,
        tenant_id: int,
        state: State,
        *,
        limit: int,
        now: datetime,
        tenant: Tenant | None = None,
        is_low_priority: bool | None = None,
        due_before: datetime | None = None,
    ) -> list["Call"]:
        """Claim due calls of one tenant for this worker: one UPDATE counts the attempt and sets the lease.

        Low-priority calls come after the others, however long they have been due; `is_low_priority` selects
        only the one or the other kind, `due_before` those that became due earlier. A call that may break its batch is
        claimed alone. After failures of the vendor one call is claimed first, as a half-open probe. `tenant` is the
        client with both connections and the rules, if it has just been loaded; the calls get it.
        """
        with transaction.atomic():
            # Those that another worker is claiming now are skipped: it would leave nothing of them.
            free = call_statements.free(state, SUSPECT, limit, is_low_priority, is_before=due_before is not None)
            chosen = _batch(free.fetch(tenant=tenant_id, now=now, before=due_before))
            if not chosen or self.count_claimed(tenant_id, state, now=now) >= circuit_breaker.MAX_CONCURRENT_BATCHES:
                return []
            tenant = tenant or call_statements.TENANT.get(tenant=tenant_id)
            connection = _connection(tenant, state)
            is_denied = connection is not None and NEEDED_RIGHTS.get(state) in connection.denials
            if connection is None or not (connection.consecutive_failures or is_denied):
                return self._claim(chosen, state, tenant, now=now)
        if connection.consecutive_failures:
            chosen = chosen[:1] if connection.try_half_open(now=now) else []
        else:
            due = self.due_of(tenant_id, state, is_low_priority=is_low_priority, due_before=due_before, now=now)
            chosen = _choose_denied(connection, state, due, now=now)[:limit]
        return self._claim(chosen, state, tenant, now=now)

    def due_of(
        self,
        tenant_id: int,
        state: State,
        *,
        is_low_priority: bool | None = None,
        due_before: Any = None,
        now: Any,
    ) -> "CallQuerySet":
        """Return the due calls of one client in the order in which they are claimed; see `claim`.

        Without the joins of `due`: PostgreSQL plans this table with three of them longer than it reads a batch.
        """
        due = self._unfinished(now).filter(tenant=tenant_id, state=state).order_by("is_low_priority", "next_attempt_at")
        if state != State.DEBOUNCING:
            client = Tenant.objects.filter(pk=tenant_id, is_paused=False, activated_at__isnull=False)
            connection = "uis" if state in UIS_STATES else "crm" if state in CRM_STATES else ""
            due = due.filter(models.Exists(client.exclude(_is_unavailable(connection, now)) if connection else client))
        if is_low_priority is not None:
            due = due.filter(is_low_priority=is_low_priority)
        return due if due_before is None else due.filter(next_attempt_at__lt=due_before)

    def due_priority(self, tenant_id: int, state: State, *, now: datetime) -> bool | None:
        """Return whether all due calls of one tenant have low priority; None if there are none."""
        found = call_statements.first_due(state).first(tenant=tenant_id, now=now)
        return None if found is None else found[0]

    def claim_expired(
        self, tenant: Tenant, state: State, *, before: datetime, limit: int, now: datetime
    ) -> list["Call"]:
        """Claim due calls that began before the upload window: no vendor is needed to skip them."""
        expired = self.filter(tenant=tenant, state=state, started_at__lt=before, next_attempt_at__lte=now)
        chosen = list(expired.order_by("pk").values_list("pk", flat=True)[:limit])
        return self._claim(chosen, state, tenant, now=now) if chosen else []

    def _claim(self, chosen: Sequence[int], state: State, tenant: Tenant, *, now: datetime) -> list["Call"]:
        if not chosen:
            return []
        token, values = uuid.uuid4(), {"state": state, "worker": jobs.worker_name(), "now": now}
        call_statements.leases(_first_attempt_at).run(pks=chosen, token=token, **values)
        return _with_tenant(call_statements.CLAIMED.fetch(pks=chosen, token=token), tenant)

    def forget_crm_users(self, tenant: Tenant) -> None:
        """Forget the managers that another account named: the same ids are other people in this one."""
        self.filter(tenant=tenant, state=State.READY, crm_user_id__isnull=False).update(crm_user_id=None)

    def make_due(
        self, tenant_id: int, states: Sequence[State], reasons: Sequence[FailureReason], *, now: datetime
    ) -> int:
        """Make calls due that waited for a vendor that answers or allows again; old ones get low priority.

        A call that failed repeatedly keeps its own retry delay: it may be the cause of the vendor's failures. The days
        in which a call may be retried begin anew for those that could not be tried.
        """
        # A vendor has just answered: what it was told must not be forgotten because the database broke this off.
        return run_again_on_conflict(self._make_due, tenant_id, states, reasons, now=now)

    def _make_due(
        self, tenant_id: int, states: Sequence[State], reasons: Sequence[FailureReason], *, now: datetime
    ) -> int:
        waiting = self.filter(tenant=tenant_id, state__in=states, failed_at=None, claim_token=None)
        untried = waiting.filter(next_attempt_at__lte=now - WAITED_FOR, first_attempt_at__isnull=False)
        untried.update(first_attempt_at=None)
        waiting.filter(ended_at__lt=now - LIVE_WINDOW, is_low_priority=False).update(is_low_priority=True)
        unsuspected = waiting.filter(reason__in=reasons, attempts__lt=SUSPECT_AFTER_ATTEMPTS)
        return unsuspected.filter(next_attempt_at__gt=now).update(next_attempt_at=now)

    def waiting(self, tenant_id: int, *, now: datetime) -> "CallQuerySet":
        """Return the calls whose next request to a vendor is due later."""
        states = [*UIS_STATES, *CRM_STATES]
        return self.filter(
            tenant=tenant_id, state__in=states, failed_at=None, claim_token=None, next_attempt_at__gt=now
        )

    def count_claimed(self, tenant_id: int, state: State, *, now: datetime) -> int:
        """Return how many workers work on calls of this client in one state."""
        return len(call_statements.CLAIMS.fetch(tenant=tenant_id, state=state, now=now))

    def with_related(self) -> "CallQuerySet":
        """Join the related rows a step needs, in one query."""
        needed = ("tenant__uis", "tenant__crm", "tenant__rule_version", "rule_version", "employee")
        return self.select_related(*needed).order_by("started_at", "pk")

    def with_history(self) -> "CallQuerySet":
        """Prefetch the call log and its users, in two more queries."""
        return self.prefetch_related("history__actor")

    def locked(self, tenant: Tenant, session_id: int) -> "Call | None":
        """Return the locked row of a call, or None. Needs a transaction."""
        call = call_statements.LOCKED.first(tenant=tenant.pk, session=session_id)
        if call is not None:
            call.tenant = tenant
        return call

    def lock_claimed(self, batch: Sequence["Call"]) -> list["Call"]:
        """Lock and reload the calls still claimed by this worker, to write the result. Needs a transaction.

        In the order of primary keys, as everybody who locks several calls: otherwise two could wait for each other.
        A notification may have changed a call since the claim; its changes must not be overwritten.
        """
        claims = (call_statements.STILL_CLAIMED.fetch(pks=pks, token=token) for token, pks in _by_token(batch).items())
        return _with_tenant([call for claim in claims for call in claim], batch[0].tenant)

    def update_claimed(self, batch: Sequence["Call"], **changes: Any) -> set[int]:
        """Write the same result to the calls still claimed by this worker; return their primary keys.

        As `lock_claimed`, without loading the rows. Needs a transaction.
        """
        rows = (
            call_statements.STILL_CLAIMED_KEYS.fetch(pks=pks, token=token) for token, pks in _by_token(batch).items()
        )
        claimed = [pk for claim in rows for (pk,) in claim]
        if claimed:
            call_statements.changes(tuple(changes)).run(pks=claimed, **changes)
        return set(claimed)


def _by_token(batch: Sequence["Call"]) -> dict[uuid.UUID, list[int]]:
    """Return the calls of each claim: a batch is one; the calls that skipping adds are another one, of this worker."""
    by_token: dict[uuid.UUID, list[int]] = {}
    for call in batch:
        if call.claim_token:
            by_token.setdefault(call.claim_token, []).append(call.pk)
    return by_token


def _with_tenant(batch: list["Call"], tenant: Tenant) -> list["Call"]:
    """Give the calls of one client this object: what a request records of a connection is known to all of them."""
    for call in batch:
        call.tenant = tenant
    return batch


def _batch(due: Sequence[tuple[int, bool]]) -> list[int]:
    """Return the calls to claim together: the first one alone if it may break the others, else those that may not."""
    if due and due[0][1]:
        return [due[0][0]]
    return [pk for pk, is_suspect in due if not is_suspect]


def _first_attempt_at(now: datetime) -> models.Case:
    """Return when a call that is claimed was first tried: what it waited untried does not count."""
    waited = models.When(next_attempt_at__lt=now - NOT_TRIED_FOR, then=models.Value(None))
    return models.Case(waited, default=models.F("first_attempt_at"), output_field=models.DateTimeField())


def _is_unavailable(connection: str, now: Any) -> models.Q:
    """Return the condition that an account denies access, or that its circuit breaker is open."""
    return models.Q((f"{connection}__denied_at__isnull", False)) | models.Q((f"{connection}__retry_at__gt", now))


def _choose_denied(connection: Connection, state: State, due: CallQuerySet, *, now: datetime) -> list[int]:
    """Return the calls to claim while the right that their state needs is denied; the others wait for it.

    One call at a time probes the right. Calls that only wait for a recording may go on without it.
    """
    right = NEEDED_RIGHTS[state]
    if connection.try_right(right, now=now):
        return list(due.values_list("pk", flat=True)[:1])
    denial = connection.denied[right]
    reason = FailureReason.UIS_DENIED if state in UIS_STATES else FailureReason.CRM_DENIED
    waiting = due.filter(has_legs=False) if state in UIS_STATES else due
    changes = {"reason": reason, "detail": denial.message, "next_attempt_at": denial.retry_at, "claim_token": None}
    waiting.order_by().update(**changes, first_attempt_at=None)
    return list(due.values_list("pk", flat=True)) if state in UIS_STATES else []


def _connection(tenant: Tenant, state: State) -> Connection | None:
    """Return the account that the step of this state uses; None if it uses none."""
    return tenant.uis if state in UIS_STATES else tenant.crm if state in CRM_STATES else None
