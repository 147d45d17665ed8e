"""Ask UIS for the legs of answered calls, all of one client at once, and wait for their recordings."""

import functools
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from connector_project import remote
from telephony import calls, clients
from telephony.models import Call, Cause, Step
from telephony.summary import Summary, summarise
from telephony.uis.client import UisClient
from telephony.uis.refusals import LIMIT
from telephony.uis.types import CallLeg, FinishedCall, Result
from tenants.models import Employee, Tenant, UisConnection
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
        people = {person.uis_id: person for person in Employee.objects.filter(tenant=tenant)}
        settle = functools.partial(_settle, found=found, people=people, choices=tenant.rules.choices(), now=now)
    calls.finish(batch, settle, step=Step.COLLECT, now=now, began=began)


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
        seen = {leg.session_id for leg in legs}
        lacking = [
            call.session_id
            for call in batch
            if not call.direction or (call.session_id not in seen and call.attempts >= PATIENT_TRIES)
        ]
        rows = client.calls_by_session(lacking, since=since, till=till) if lacking else []
        if not client.takes_lists and batch[0].tenant.uis.takes_lists:
            UisConnection.objects.filter(tenant=batch[0].tenant).update(takes_lists=False)
        return cls(legs, rows)


def _refused(tenant: Tenant, exc: remote.RemoteError, *, now: datetime) -> Callable[[Call], None]:
    """Return what becomes of each call when UIS did not tell."""
    if isinstance(exc, remote.AccessDenied):
        tenant.uis.deny(exc.code, str(exc), now=now)

    def leave(call: Call) -> None:
        if call.is_collected and now >= _recording_deadline(call):
            return _send_on(call, now=now)  # Only the recording was still asked for, and its time is over.
        match exc:
            case remote.RemoteUnavailable() if call.is_backlog and exc.code == LIMIT:
                # It waits for points, however many days: what is old already does not fail for being late.
                call.wait_until(now + timedelta(seconds=exc.wait or 60), Cause.UIS_UNAVAILABLE, str(exc))
            case remote.RemoteUnavailable():
                call.postpone(Cause.UIS_UNAVAILABLE, str(exc), now=now, wait=exc.wait)
            case remote.AccessDenied():
                call.wait_until(now, Cause.UIS_DENIED, str(exc))
            case remote.UnexpectedReply():
                call.stop(Cause.UNEXPECTED_REPLY, str(exc), now=now)
            case _:
                call.stop(Cause.UIS_REFUSED, str(exc), now=now)

    return leave


def _settle(call: Call, *, found: _Found, people: dict[int, Employee], choices: Choices, now: datetime) -> None:
    """Bring one call on with what UIS said."""
    if not call.is_collected and not _take_over(call, found, people=people, now=now):
        return None
    call.record_url = call.record_url or _recording(call, found)
    if calls.judge(call, choices, now=now):
        return call.move_to(Call.State.SKIPPED, now=now)
    if _awaits_recording(call, now=now):
        return call.wait_until(_next_look(call, now=now), Cause.RECORDING_NOT_READY)
    _send_on(call, now=now)


def _send_on(call: Call, *, now: datetime) -> None:
    call.move_to(calls.after_collecting(call, call.tenant.rules), now=now)


def _take_over(call: Call, found: _Found, *, people: dict[int, Employee], now: datetime) -> bool:
    """Write the summary of the legs into the row; say whether there was enough to go on."""
    row, legs = found.rows.get(call.session_id), found.legs.get(call.session_id, [])
    if row is not None:
        calls.learn(call, row)
    is_patient = call.attempts < PATIENT_TRIES
    expects_talk = call.talk_seconds > 0 or (call.direction == "in" and call.is_lost is False)
    summary = summarise(legs, owner=call.tenant.rules.owner, expects_talk=expects_talk, is_patient=is_patient)
    if summary is not None and call.direction:
        _apply(call, summary, people=people)
    elif row is not None and not is_patient:
        _apply_row(call, row, people=people)
    else:
        call.postpone(Cause.LEGS_NOT_READY if legs or is_patient else Cause.UNKNOWN_TO_UIS, now=now)
        return False
    call.is_collected = True
    return True


def _apply(call: Call, summary: Summary, *, people: dict[int, Employee]) -> None:
    call.started_at, call.ended_at = summary.started_at, summary.ended_at
    call.talk_seconds, call.wait_seconds = summary.talk_seconds, summary.wait_seconds
    call.contact, call.number = call.contact or summary.contact, call.number or summary.number
    call.rung_ids = list(dict.fromkeys([*call.rung_ids, *summary.rung_ids]))
    call.is_lost = call.direction == "in" and summary.result != Result.ANSWERED
    call.result = (call.result or Result.NO_ANSWER) if call.is_missed else summary.result
    if call.is_missed:
        call.employee = calls.owner_of_missed(call)
    else:
        owner = people.get(summary.owner_id or 0) or _by_number(summary.owner_number, people)
        call.employee = owner or people.get(call.talker_id or next(iter(call.rung_ids), 0))


def _apply_row(call: Call, row: FinishedCall, *, people: dict[int, Employee]) -> None:
    """Let the session's own row stand in for legs that never came."""
    call.result = row.result or Result.UNKNOWN
    call.employee = calls.owner_of_missed(call) if call.is_missed else people.get(row.talker_id or call.talker_id or 0)


def _by_number(number: str, people: dict[int, Employee]) -> Employee | None:
    """Find who was called on a number typed into a scenario: UIS names no employee for such a leg."""
    having = [person for person in people.values() if number and number in person.numbers]
    return having[0] if len(having) == 1 else None


def _recording(call: Call, found: _Found) -> str:
    """Return the address of the recording, where UIS shows one by now."""
    legs, row = found.legs.get(call.session_id, []), found.rows.get(call.session_id)
    owned = [leg for leg in legs if call.employee and leg.employee_id == call.employee.uis_id and leg.record_ids]
    told = [record for leg in (owned or legs) for record in leg.record_ids] or list(row.record_ids if row else ())
    return clients.record_url(call.tenant.uis, call.session_id, told[-1]) if told else ""


def _awaits_recording(call: Call, *, now: datetime) -> bool:
    if call.record_url or not call.is_answered or not call.tenant.rules.send_recording:
        return False
    recorded = call.employee.recorded_directions if call.employee else "all"
    return recorded in {"all", call.direction} and now < _recording_deadline(call)


def _recording_deadline(call: Call) -> datetime:
    return call.ended_at + timedelta(minutes=call.tenant.rules.recording_wait_minutes)


def _next_look(call: Call, *, now: datetime) -> datetime:
    pause = RECORDING_PAUSES_SECONDS[min(call.attempts, len(RECORDING_PAUSES_SECONDS)) - 1]
    return min(now + timedelta(seconds=pause), _recording_deadline(call))
