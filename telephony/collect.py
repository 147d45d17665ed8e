"""Ask UIS for the legs of answered calls, all of one client at once, and wait for their recordings."""

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
# How often one client's legs may be asked for: five times in a row, then every twenty seconds. Beyond that calls wait
# for the next sweep and go together, so that a busy hour costs points by the minute, not by the call.
PACE = timedelta(seconds=20)
BURST = 5
BACKLOG_BURST = 2  # the rest of the five is left to calls of today
# From this try on the session's own row is asked for as well, and legs without a talk are taken as they are.
PATIENT_TRIES = 4
RECORDING_PAUSES_SECONDS = (15, 60, 300, 900)


def take_turn(connection: UisConnection, *, is_backlog: bool = False, now: datetime) -> bool:
    """Say whether this client's legs may be asked for now, and count it if so."""
    seen = connection.collect_after
    if seen and seen - now > PACE * ((BACKLOG_BURST if is_backlog else BURST) - 1):
        return False
    same = UisConnection.objects.filter(pk=connection.pk, collect_after=seen)
    return same.update(collect_after=max(seen or now, now) + PACE) == 1


def collect(batch: list[Call], *, now: datetime) -> None:
    """Bring claimed calls of one tenant a step on, or leave each with the reason why not.

    A batch is of today or of the backlog as a whole: the backlog leaves the reserve of points alone.
    """
    began = time.monotonic()
    tenant = batch[0].tenant
    try:
        found = _Found.of(batch, _client(batch), now=now)
    except remote.RemoteError as exc:
        settle = _refused(tenant, exc, now=now)
    else:
        known = _Known(
            found=found,
            heard=facts.heard_of(tenant, [call.session_id for call in batch]),
            staff=Staff.of(tenant),
            choices=tenant.rules.choices(),
        )
        settle = functools.partial(_settle, known=known, now=now)
    calls.finish(batch, settle, step=Step.COLLECT, now=now, began=began, about=calls.owner_rules(batch))


def _client(batch: Sequence[Call]) -> UisClient:
    return clients.uis_client(batch[0].tenant.uis, is_live=not batch[0].is_backlog)


class _Found:
    """What UIS says of a batch."""

    def __init__(self, legs: Sequence[CallLeg] = (), rows: Sequence[FinishedCall] = ()) -> None:
        self.legs: dict[int, list[CallLeg]] = {}
        for leg in legs:
            self.legs.setdefault(leg.session_id, []).append(leg)
        self.rows = {row.session_id: row for row in rows}

    @classmethod
    def of(cls, batch: list[Call], client: UisClient, *, now: datetime) -> "_Found":
        """Ask for all legs in one request; for the calls that lack something, for their own rows in a second."""
        since = min(call.started_at for call in batch)
        till = max(call.ended_at for call in batch) if batch[0].is_backlog else now
        legs = client.call_legs([call.session_id for call in batch], since=since, till=till)
        found = cls(legs)
        lacking = [call.session_id for call in batch if found.lacks(call)]
        rows = client.calls_by_session(lacking, since=since, till=till) if lacking else []
        if not client.takes_lists and batch[0].tenant.uis.takes_lists:
            UisConnection.objects.filter(tenant=batch[0].tenant).update(takes_lists=False)
        return cls(legs, rows)

    def lacks(self, call: Call) -> bool:
        """Whether the session's own row must be asked for: it knows the direction, and a recording of several talks."""
        legs = self.legs.get(call.session_id, [])
        return (
            not call.direction or (not legs and call.attempts >= PATIENT_TRIES) or len(record_ids(legs)) > 1
        ) and load(call.told_by_uis).row is None

    def answer(self, call: Call) -> Asked:
        """Return what UIS answered about a call by now, with what it answered before."""
        before, legs = load(call.told_by_uis), self.legs.get(call.session_id)
        row = self.rows.get(call.session_id, before.row)
        return Asked(row=row, legs=tuple(legs) if legs else before.legs)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """All by which a batch is decided."""

    found: _Found
    heard: Mapping[int, Sequence[Heard]]
    staff: Staff
    choices: Choices


def _refused(tenant: Tenant, exc: remote.RemoteError, *, now: datetime) -> Callable[[Call], None]:
    """Return what becomes of each call when UIS did not tell."""
    if isinstance(exc, remote.AccessDenied):
        tenant.uis.deny(exc.code, str(exc), now=now)

    def leave(call: Call) -> None:
        if call.is_collected and now >= recording.deadline(call):
            return _send_on(call, now=now)  # Only the recording was still asked for, and its time is over.
        match exc:
            case remote.RemoteUnavailable() if call.is_backlog and exc.code == LIMIT:
                # It waits for points, however many days: what is old already does not fail for being late.
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

    return leave


def _settle(call: Call, *, known: _Known, now: datetime) -> None:
    """Bring one call on with what UIS said."""
    was, call.told_by_uis = call.told_by_uis, dump(known.found.answer(call))
    story = facts.story_of(
        call, known.heard[call.session_id], staff=known.staff, is_patient=call.attempts < PATIENT_TRIES
    )
    if story.fate not in {Fate.TOLD, Fate.MISSED}:
        call.told_by_uis = was
        has_legs = call.session_id in known.found.legs
        is_early = has_legs or call.attempts < PATIENT_TRIES
        return call.postpone(Cause.LEGS_NOT_READY if is_early else Cause.UNKNOWN_TO_UIS, now=now)
    calls.take_over(call, story, owner=known.staff.owner_of(story, call.tenant.rules))
    # A recording that was told of while UIS was being asked stands in the row already.
    call.is_collected, call.record_url = True, recording.address(call, story) or call.record_url
    if calls.judge(call, known.choices, now=now):
        return call.move_to(Call.State.SKIPPED, now=now)
    if recording.is_awaited(call, story, known.staff, now=now):
        return call.wait_until(_next_look(call, now=now), Cause.RECORDING_NOT_READY)
    return _send_on(call, now=now)


def _send_on(call: Call, *, now: datetime) -> None:
    call.move_to(calls.after_collecting(call, call.tenant.rules), now=now)


def _next_look(call: Call, *, now: datetime) -> datetime:
    pause = RECORDING_PAUSES_SECONDS[min(call.attempts, len(RECORDING_PAUSES_SECONDS)) - 1]
    return min(now + timedelta(seconds=pause), recording.deadline(call))
