"""What the legs of one call amount to: who talked, how long, how it ended. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from telephony.uis import reasons
from telephony.uis.types import CallLeg, Result

LAST_TALKER = "LAST_TALKER"
FIRST_TALKER = "FIRST_TALKER"
LONGEST_TALKER = "LONGEST_TALKER"
# Notifications and reports round their seconds each in their own way.
ROUNDING = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One call as its legs tell it."""

    result: Result
    owner_id: int | None = None
    owner_number: str = ""
    talk_seconds: int = 0
    wait_seconds: int = 0
    started_at: datetime
    ended_at: datetime
    contacts: tuple[str, ...] = ()  # whom UIS names as the outside party
    sides: tuple[str, ...] = ()  # the ends of the outside party's own legs: one is his, the other is the client's
    number: str = ""
    rung_ids: tuple[int, ...] = ()
    talker_ids: tuple[int | None, ...] = ()  # one for each talk, in turn
    finish_reason: str = ""


def summarise(
    legs: Sequence[CallLeg],
    *,
    owner: str,
    expects_talk: bool,
    is_patient: bool,
    told_until: datetime | None = None,
) -> Summary | None:
    """Return what the legs amount to, or None while they cannot be the whole call.

    `owner` is the tenant's rule of whose call it is; `expects_talk` says that UIS told us of a talk, `told_until` of
    what moment it last told that a phone rang or was answered. With `is_patient` legs that lack what UIS told of are
    awaited, else they are taken as they are.
    """
    ordered = sorted(legs, key=lambda leg: (leg.started_at, leg.leg_id))
    # A coach listens in; he neither was called nor is it his call.
    people = [leg for leg in ordered if leg.is_operator and not leg.is_coach]
    talks = [leg for leg in people if leg.is_talked]
    if not ordered or (is_patient and not _is_whole(ordered, talks, expects_talk=expects_talk, told_until=told_until)):
        return None
    their = talks or [leg for leg in ordered if leg.is_talked and expects_talk]
    owned = _owned(talks, owner) if talks else None
    first = min((leg.talk_began_at for leg in their), default=None)
    return Summary(
        result=Result.ANSWERED if their else reasons.without_talk(_finish_reason(ordered)),
        owner_id=owned.employee_id if owned else None,
        owner_number=owned.called if owned else "",
        talk_seconds=_talked(their),
        # Never below nothing: in the hour that clocks repeat in autumn a talk may seem to begin before its call.
        wait_seconds=max(0, round((first - ordered[0].started_at).total_seconds())) if first else _longest(ordered),
        started_at=ordered[0].started_at,
        ended_at=max(leg.ended_at for leg in ordered),
        contacts=tuple(leg.contact for leg in ordered if leg.contact),
        sides=tuple(_sides(ordered)),
        number=next((leg.number for leg in ordered if leg.number), ""),
        rung_ids=_rung(people),
        talker_ids=tuple(leg.employee_id for leg in _in_turn(talks)),
        finish_reason=_finish_reason(ordered),
    )


def record_ids(legs: Sequence[CallLeg], *, owner_id: int | None = None) -> tuple[str, ...]:
    """Return the recordings of a call in the order of its talks, each once; with `owner_id` those of his talks."""
    return tuple(recorded_talks([leg for leg in legs if owner_id is None or leg.employee_id == owner_id]))


def recorded_talks(legs: Sequence[CallLeg]) -> dict[str, CallLeg]:
    """Return the recordings of a call in the order of its talks, each with the talk it is of."""
    in_turn = _in_turn([leg for leg in legs if leg.record_ids and not leg.is_coach])
    # Nobody documents which legs carry records: the outside party's may repeat those of the employees.
    named = [leg for leg in in_turn if leg.is_operator] + [leg for leg in in_turn if not leg.is_operator]
    talks: dict[str, CallLeg] = {}
    for leg in named:
        for record in leg.record_ids:
            talks.setdefault(record, leg)
    return talks


def _is_whole(
    ordered: Sequence[CallLeg], talks: Sequence[CallLeg], *, expects_talk: bool, told_until: datetime | None
) -> bool:
    """Say whether every leg is over, and all that UIS told of is in them: a menu may end before a phone rings."""
    if not all(leg.finish_reason for leg in ordered) or (expects_talk and not talks):
        return False
    return told_until is None or told_until <= max(leg.ended_at for leg in ordered) + ROUNDING


def _in_turn(legs: Iterable[CallLeg]) -> list[CallLeg]:
    return sorted(legs, key=lambda leg: (leg.talk_began_at, leg.leg_id))


def _owned(talks: Sequence[CallLeg], owner: str) -> CallLeg:
    """Choose the leg of the person whose call it is.

    The last talker is who talked at the end: a colleague asked in the middle was connected later, but left before.
    """
    in_turn = _in_turn(talks)
    if owner == FIRST_TALKER:
        return in_turn[0]
    if owner == LONGEST_TALKER:
        seconds: dict[object, int] = defaultdict(int)
        for leg in in_turn:
            seconds[leg.employee_id or leg.called] += leg.talk_seconds
        return max(in_turn, key=lambda leg: seconds[leg.employee_id or leg.called])
    return max(in_turn, key=lambda leg: (leg.talk_ended_at, leg.talk_began_at, leg.leg_id))


def _talked(talks: Sequence[CallLeg]) -> int:
    """Return the seconds in which anybody talked: where two talk at once, a second is one second."""
    total, covered = timedelta(0), None
    for leg in sorted(talks, key=lambda leg: (leg.talk_began_at, leg.talk_ended_at)):
        begin = leg.talk_began_at if covered is None else max(covered, leg.talk_began_at)
        total += max(leg.talk_ended_at - begin, timedelta(0))
        covered = leg.talk_ended_at if covered is None else max(covered, leg.talk_ended_at)
    return round(total.total_seconds())


def _sides(ordered: Sequence[CallLeg]) -> Iterable[str]:
    for leg in ordered:
        if not leg.is_operator:
            yield from (number for number in (leg.calling, leg.called) if number)


def _rung(people: Iterable[CallLeg]) -> tuple[int, ...]:
    """Return whose phones rang, by when each rang last."""
    last = {leg.employee_id: leg.started_at for leg in people if leg.employee_id}
    return tuple(sorted(last, key=lambda employee_id: (last[employee_id], employee_id)))


def _longest(legs: Sequence[CallLeg]) -> int:
    return max(leg.total_seconds for leg in legs)


def _finish_reason(ordered: Sequence[CallLeg]) -> str:
    """Return how the call ended: the outside party's leg knows, where there is one."""
    outside = [leg for leg in ordered if not leg.is_operator]
    return (outside or ordered)[-1].finish_reason
