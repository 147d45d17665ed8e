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
    contact: str = ""
    number: str = ""
    rung_ids: tuple[int, ...] = ()


def summarise(legs: Sequence[CallLeg], *, owner: str, expects_talk: bool, is_patient: bool) -> Summary | None:
    """Return what the legs amount to, or None while they cannot be the whole call.

    `owner` is the tenant's rule of whose call it is; `expects_talk` says that UIS told us of a talk. With `is_patient`
    legs that lack the talk UIS told of are awaited, else they are taken as they are.
    """
    ordered = sorted(legs, key=lambda leg: (leg.started_at, leg.leg_id))
    talks = [leg for leg in ordered if leg.is_operator and leg.is_talked]
    is_whole = all(leg.finish_reason for leg in ordered) and (talks or not expects_talk)
    if not ordered or (is_patient and not is_whole):
        return None
    their = talks or [leg for leg in ordered if leg.is_talked and expects_talk]
    owned = _owned(talks, owner) if talks else None
    first = min((leg.connected_at or leg.started_at for leg in their), default=None)
    return Summary(
        result=Result.ANSWERED if their else _without_talk(ordered),
        owner_id=owned.employee_id if owned else None,
        owner_number=owned.called if owned else "",
        talk_seconds=_talked(their),
        # Never below nothing: in the hour that clocks repeat in autumn a talk may seem to begin before its call.
        wait_seconds=max(0, round((first - ordered[0].started_at).total_seconds())) if first else _longest(ordered),
        started_at=ordered[0].started_at,
        ended_at=max(leg.started_at + timedelta(seconds=leg.total_seconds) for leg in ordered),
        contact=_first(leg.contact for leg in ordered),
        number=_first(leg.number for leg in ordered),
        rung_ids=tuple(dict.fromkeys(leg.employee_id for leg in ordered if leg.is_operator and leg.employee_id)),
    )


def _owned(talks: Sequence[CallLeg], owner: str) -> CallLeg:
    """Choose the leg of the person whose call it is."""
    in_turn = sorted(talks, key=lambda leg: (leg.connected_at or leg.started_at, leg.leg_id))
    if owner == FIRST_TALKER:
        return in_turn[0]
    if owner == LONGEST_TALKER:
        seconds: dict[object, int] = defaultdict(int)
        for leg in in_turn:
            seconds[leg.employee_id or leg.called] += leg.talk_seconds
        return max(in_turn, key=lambda leg: seconds[leg.employee_id or leg.called])
    return in_turn[-1]


def _talked(legs: Sequence[CallLeg]) -> int:
    """Add up the talks of the employees; without any, the outside party's leg stands for the whole."""
    if all(leg.is_operator for leg in legs):
        return sum(leg.talk_seconds for leg in legs)
    return max((leg.talk_seconds for leg in legs), default=0)


def _longest(legs: Sequence[CallLeg]) -> int:
    return max(leg.total_seconds for leg in legs)


def _without_talk(legs: Sequence[CallLeg]) -> Result:
    """Say how a call without talk ended: the outside party's leg knows, where there is one."""
    outside = [leg for leg in legs if not leg.is_operator]
    return reasons.without_talk((outside or legs)[-1].finish_reason)


def _first(values: Iterable[str]) -> str:
    return next((value for value in values if value), "")
