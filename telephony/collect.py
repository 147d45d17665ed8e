"""Fetches the legs of answered calls from UIS in batches per tenant, and waits for their recordings."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector_project import remote
from telephony import calls, clients, facts, recording
from telephony.facts import Staff
from telephony.models import Call, Cause, Step
from telephony.story import Fate
from telephony.summary import record_ids
from telephony.told import Asked, dump, load
from telephony.uis.client import UisClient
from telephony.uis.refusals import LIMIT
from telephony.uis.types import CallLeg, FinishedCall, Heard
from tenants.models import Tenant, UisConnection
from tenants.transfer import Choices

BATCH = 100
# Rate limit per tenant: five requests in a row, then one every 20 seconds. Other calls wait for the next sweep and
# share a request, so that a busy hour costs API points per minute, not per call.
PACE = timedelta(seconds=20)
BURST = 5
BACKLOG_BURST = 2  # the rest is reserved for live calls
# From this attempt on the session's report row is requested too, and legs without a talk are accepted.
PATIENT_TRIES = 4
RECORDING_PAUSES_SECONDS = (15, 60, 300, 900)


def take_turn(connection: UisConnection, *, is_backlog: bool = False, now: datetime) -> bool:
    """Take a slot of this tenant's rate limit; return False if none is free."""
    seen = connection.collect_after
    if seen and seen - now > PACE * ((BACKLOG_BURST if is_backlog else BURST) - 1):
        return False
    same = UisConnection.objects.filter(pk=connection.pk, collect_after=seen)
    return same.update(collect_after=max(seen or now, now) + PACE) == 1


def collect(batch: list[Call], *, now: datetime) -> None:
    """Advance claimed calls of one tenant, or store on each the reason why not.

    All calls of a batch have the same priority: low priority does not use the reserve of API points.
    """
    began = time.monotonic()
    tenant = batch[0].tenant
    try:
        found = _Found.of(batch, _client(batch), now=now)
    except remote.RemoteError as exc:
        apply = _handle_error(tenant, exc, now=now)
    else:
        context = _Known(
            found=found,
            events=facts.heard_of(tenant, [call.session_id for call in batch]),
            staff=Staff.of(tenant),
            choices=tenant.rules.choices(),
        )
        apply = functools.partial(_evaluate, context=context, now=now)
    calls.finish(batch, apply, step=Step.COLLECT, now=now, began=began, about=calls.owner_rules(batch))


def _client(batch: Sequence[Call]) -> UisClient:
    return clients.uis_client(batch[0].tenant.uis, is_live=not batch[0].is_backlog)


class _Found:
    """UIS's answer for a batch."""

    def __init__(self, legs: Sequence[CallLeg] = (), rows: Sequence[FinishedCall] = ()) -> None:
        self.legs: dict[int, list[CallLeg]] = {}
        for leg in legs:
            self.legs.setdefault(leg.session_id, []).append(leg)
        self.rows = {row.session_id: row for row in rows}

    @classmethod
    def of(cls, batch: list[Call], client: UisClient, *, now: datetime) -> "_Found":
        """Request all legs at once, then the report rows of calls that lack something."""
        since = min(call.started_at for call in batch)
        till = max(call.ended_at for call in batch) if batch[0].is_backlog else now
        legs = client.call_legs([call.session_id for call in batch], since=since, till=till)
        found = cls(legs)
        incomplete = [call.session_id for call in batch if found.lacks(call)]
        rows = client.calls_by_session(incomplete, since=since, till=till) if incomplete else []
        if not client.takes_lists and batch[0].tenant.uis.takes_lists:
            UisConnection.objects.filter(tenant=batch[0].tenant).update(takes_lists=False)
        return cls(legs, rows)

    def lacks(self, call: Call) -> bool:
        """Whether the report row is needed: it has the direction, and a recording of all talks."""
        legs = self.legs.get(call.session_id, [])
        return (
            not call.direction or (not legs and call.attempts >= PATIENT_TRIES) or len(record_ids(legs)) > 1
        ) and load(call.told_by_uis).row is None

    def answer(self, call: Call) -> Asked:
        """Return the UIS snapshot of a call, with earlier answers where UIS returned nothing new."""
        before, legs = load(call.told_by_uis), self.legs.get(call.session_id)
        row = self.rows.get(call.session_id, before.row)
        return Asked(row=row, legs=tuple(legs) if legs else before.legs)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Everything needed to evaluate a batch."""

    found: _Found
    events: Mapping[int, Sequence[Heard]]
    staff: Staff
    choices: Choices


def _handle_error(tenant: Tenant, exc: remote.RemoteError, *, now: datetime) -> Callable[[Call], None]:
    """Return a function that postpones or fails a call after a UIS error."""
    if isinstance(exc, remote.AccessDenied):
        tenant.uis.deny(exc.code, str(exc), now=now)

    def postpone_or_fail(call: Call) -> None:
        if call.is_collected and now >= recording.deadline(call):
            return _advance(call, now=now)  # Only the recording was missing, and its deadline has passed.
        match exc:
            case remote.RemoteUnavailable() if call.is_backlog and exc.code == LIMIT:
                # It may wait for points for days: low-priority calls do not fail for being late.
                call.wait_until(now + timedelta(seconds=exc.wait or 60), Cause.UIS_POINTS, str(exc))
            case remote.RemoteUnavailable():
                cause = Cause.UIS_POINTS if exc.code == LIMIT else Cause.UIS_UNAVAILABLE
                call.wait_for(tenant.uis, exc, cause, now=now)
            case remote.AccessDenied():
                call.wait_until(now, Cause.UIS_DENIED, str(exc))
            case remote.UnexpectedReply():
                call.stop(Cause.UNEXPECTED_REPLY, str(exc), now=now)
            case _:
                call.stop(Cause.UIS_REFUSED, str(exc), now=now)

    return postpone_or_fail


def _evaluate(call: Call, *, context: _Known, now: datetime) -> None:
    """Evaluate one call with UIS's answer."""
    before, call.told_by_uis = call.told_by_uis, dump(context.found.answer(call))
    story = facts.story_of(
        call, context.events[call.session_id], staff=context.staff, is_patient=call.attempts < PATIENT_TRIES
    )
    if story.fate not in {Fate.TOLD, Fate.MISSED}:
        call.told_by_uis = before
        has_legs = call.session_id in context.found.legs
        is_early = has_legs or call.attempts < PATIENT_TRIES
        return call.postpone(Cause.LEGS_NOT_READY if is_early else Cause.UNKNOWN_TO_UIS, now=now)
    calls.take_over(call, story, owner=context.staff.owner_of(story, call.tenant.rules))
    # A notification may have set the recording URL during the request.
    call.is_collected, call.record_url = True, recording.address(call, story) or call.record_url
    if calls.judge(call, context.choices, now=now):
        return call.move_to(Call.State.SKIPPED, now=now)
    if recording.is_awaited(call, story, context.staff, now=now):
        return call.wait_until(_next_check_at(call, now=now), Cause.RECORDING_NOT_READY)
    return _advance(call, now=now)


def _advance(call: Call, *, now: datetime) -> None:
    call.move_to(calls.after_collecting(call, call.tenant.rules), now=now)


def _next_check_at(call: Call, *, now: datetime) -> datetime:
    pause = RECORDING_PAUSES_SECONDS[min(call.attempts, len(RECORDING_PAUSES_SECONDS)) - 1]
    return min(now + timedelta(seconds=pause), recording.deadline(call))
