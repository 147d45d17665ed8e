"""Fetches the legs of answered calls from UIS in batches per tenant, and waits for their recordings."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector_project.core import http_client
from telephony import client_factory
from telephony.calls import pipeline, recording_selection, sources
from telephony.calls.evidence import UisSnapshot, dump, load
from telephony.calls.legs import record_ids
from telephony.calls.resolution import ResolutionStatus
from telephony.calls.sources import StaffDirectory
from telephony.models import Call, FailureReason, Step
from telephony.uis.client import UisClient
from telephony.uis.errors import LIMIT
from telephony.uis.types import CallEvent, CallLeg, EndedEvent
from tenants.models import Tenant, UisConnection
from tenants.transfer_rules import RuleSet

BATCH = 100
# Rate limit per tenant: five requests in a row, then one every 20 seconds. Other calls wait for the next sweep and
# share a request, so that a busy hour costs API points per minute, not per call.
PACE = timedelta(seconds=20)
BURST = 5
LOW_PRIORITY_BURST = 2  # the rest is reserved for live calls
# From this attempt on the session's report row is requested too, and legs without a talk are accepted.
WAIT_FOR_LEGS_ATTEMPTS = 4
RECORDING_PAUSES_SECONDS = (15, 60, 300, 900)


def try_acquire_slot(connection: UisConnection, *, is_low_priority: bool = False, now: datetime) -> bool:
    """Take a slot of this tenant's rate limit; return False if none is free."""
    slot = connection.legs_slot_at
    if slot and slot - now > PACE * ((LOW_PRIORITY_BURST if is_low_priority else BURST) - 1):
        return False
    same = UisConnection.objects.filter(pk=connection.pk, legs_slot_at=slot)
    return same.update(legs_slot_at=max(slot or now, now) + PACE) == 1


def fetch(batch: list[Call], *, now: datetime) -> None:
    """Advance claimed calls of one tenant, or store on each the reason why not.

    All calls of a batch have the same priority: low priority does not use the reserve of API points.
    """
    started = time.monotonic()
    tenant = batch[0].tenant
    try:
        found = _UisReply.fetch_batch(batch, _client(batch), now=now)
    except http_client.RemoteError as exc:
        apply = _handle_error(tenant, exc, now=now)
    else:
        context = _BatchContext(
            found=found,
            events=sources.events_by_session(tenant, [call.session_id for call in batch]),
            staff=StaffDirectory.for_tenant(tenant),
            choices=tenant.rules.choices(),
        )
        apply = functools.partial(_evaluate, context=context, now=now)
    pipeline.finish_batch(
        batch, apply, step=Step.FETCH_LEGS, now=now, started=started, details=pipeline.owner_rules(batch)
    )


def _client(batch: Sequence[Call]) -> UisClient:
    return client_factory.uis_client(batch[0].tenant.uis, is_live=not batch[0].is_low_priority)


class _UisReply:
    """UIS's answer for a batch."""

    def __init__(self, legs: Sequence[CallLeg] = (), rows: Sequence[EndedEvent] = ()) -> None:
        self.legs: dict[int, list[CallLeg]] = {}
        for leg in legs:
            self.legs.setdefault(leg.session_id, []).append(leg)
        self.rows = {row.session_id: row for row in rows}

    @classmethod
    def fetch_batch(cls, batch: list[Call], client: UisClient, *, now: datetime) -> "_UisReply":
        """Request all legs at once, then the report rows of calls that lack something."""
        since = min(call.started_at for call in batch)
        till = max(call.ended_at for call in batch) if batch[0].is_low_priority else now
        legs = client.call_legs([call.session_id for call in batch], since=since, till=till)
        found = cls(legs)
        incomplete = [call.session_id for call in batch if found.lacks(call)]
        rows = client.calls_by_session(incomplete, since=since, till=till) if incomplete else []
        if not client.supports_in_operator and batch[0].tenant.uis.supports_in_operator:
            UisConnection.objects.filter(tenant=batch[0].tenant).update(supports_in_operator=False)
        return cls(legs, rows)

    def lacks(self, call: Call) -> bool:
        """Whether the report row is needed: it has the direction, and a recording of all talks."""
        legs = self.legs.get(call.session_id, [])
        return (
            not call.direction or (not legs and call.attempts >= WAIT_FOR_LEGS_ATTEMPTS) or len(record_ids(legs)) > 1
        ) and load(call.uis_snapshot).row is None

    def answer(self, call: Call) -> UisSnapshot:
        """Return the UIS snapshot of a call, with earlier answers where UIS returned nothing new."""
        before, legs = load(call.uis_snapshot), self.legs.get(call.session_id)
        row = self.rows.get(call.session_id, before.row)
        return UisSnapshot(row=row, legs=tuple(legs) if legs else before.legs)


@dataclass(frozen=True, kw_only=True)
class _BatchContext:
    """Everything needed to evaluate a batch."""

    found: _UisReply
    events: Mapping[int, Sequence[CallEvent]]
    staff: StaffDirectory
    choices: RuleSet


def _handle_error(tenant: Tenant, exc: http_client.RemoteError, *, now: datetime) -> Callable[[Call], None]:
    """Return a function that postpones or fails a call after a UIS error."""
    if isinstance(exc, http_client.AccessDenied):
        tenant.uis.suspend(exc.code, str(exc), now=now)

    def postpone_or_fail(call: Call) -> None:
        if call.has_legs and now >= recording_selection.deadline(call):
            return _advance(call, now=now)  # Only the recording was missing, and its deadline has passed.
        match exc:
            case http_client.RemoteUnavailable() if call.is_low_priority and exc.code == LIMIT:
                # It may wait for points for days: low-priority calls do not fail for being late.
                call.postpone_until(now + timedelta(seconds=exc.wait or 60), FailureReason.UIS_QUOTA, str(exc))
            case http_client.RemoteUnavailable():
                reason = FailureReason.UIS_QUOTA if exc.code == LIMIT else FailureReason.UIS_UNAVAILABLE
                call.postpone_for_vendor(tenant.uis, exc, reason, now=now)
            case http_client.AccessDenied():
                call.postpone_until(now, FailureReason.UIS_DENIED, str(exc))
            case http_client.UnexpectedReply():
                call.fail(FailureReason.UNEXPECTED_REPLY, str(exc), now=now)
            case _:
                call.fail(FailureReason.UIS_REFUSED, str(exc), now=now)

    return postpone_or_fail


def _evaluate(call: Call, *, context: _BatchContext, now: datetime) -> None:
    """Evaluate one call with UIS's answer."""
    before, call.uis_snapshot = call.uis_snapshot, dump(context.found.answer(call))
    resolution = sources.resolve_call(
        call,
        context.events[call.session_id],
        staff=context.staff,
        waits_for_legs=call.attempts < WAIT_FOR_LEGS_ATTEMPTS,
    )
    if resolution.status not in {ResolutionStatus.COMPLETE, ResolutionStatus.MISSED}:
        call.uis_snapshot = before
        has_legs = call.session_id in context.found.legs
        is_early = has_legs or call.attempts < WAIT_FOR_LEGS_ATTEMPTS
        return call.postpone(FailureReason.LEGS_NOT_READY if is_early else FailureReason.UNKNOWN_TO_UIS, now=now)
    pipeline.apply_resolution(call, resolution, owner=context.staff.owner_of(resolution, call.tenant.rules))
    # A notification may have set the recording URL during the request.
    call.has_legs, call.recording_url = True, recording_selection.url(call, resolution) or call.recording_url
    if pipeline.apply_rules(call, context.choices, now=now):
        return call.move_to(Call.State.SKIPPED, now=now)
    if recording_selection.is_awaited(call, resolution, context.staff, now=now):
        return call.postpone_until(_next_check_at(call, now=now), FailureReason.RECORDING_NOT_READY)
    return _advance(call, now=now)


def _advance(call: Call, *, now: datetime) -> None:
    call.move_to(pipeline.next_state_after_legs(call, call.tenant.rules), now=now)


def _next_check_at(call: Call, *, now: datetime) -> datetime:
    pause = RECORDING_PAUSES_SECONDS[min(call.attempts, len(RECORDING_PAUSES_SECONDS)) - 1]
    return min(now + timedelta(seconds=pause), recording_selection.deadline(call))
