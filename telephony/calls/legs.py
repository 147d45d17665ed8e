"""Summarises the legs of a call: who talked, how long, how it ended. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from telephony.uis import finish_reasons
from telephony.uis.types import CallLeg, Result

LAST_TALKER = "LAST_TALKER"
FIRST_TALKER = "FIRST_TALKER"
LONGEST_TALKER = "LONGEST_TALKER"
# Notifications and reports round seconds differently.
ROUNDING = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True)
class LegSummary:
    """The result of all legs of one call."""

    result: Result
    owner_id: int | None = None
    owner_number: str = ""
    talk_seconds: int = 0
    wait_seconds: int = 0
    started_at: datetime
    ended_at: datetime
    contacts: tuple[str, ...] = ()  # the outside party as named by UIS
    sides: tuple[str, ...] = ()  # numbers of the outside party's legs: theirs and the tenant's
    number: str = ""
    rung_employee_ids: tuple[int, ...] = ()
    talker_ids: tuple[int | None, ...] = ()  # one per talk, in order
    next_owner_ids: tuple[int, ...] = ()  # by the owner rule, if UIS names no employee for the owner's talk
    finish_reason: str = ""


def summarise(
    legs: Sequence[CallLeg],
    *,
    owner: str,
    expects_talk: bool,
    waits_for_legs: bool,
    last_activity_at: datetime | None = None,
) -> LegSummary | None:
    """Summarise the legs, or return None while they are incomplete.

    `owner` is the tenant's owner rule; `expects_talk`: UIS reported a talk; `last_activity_at`: when, by UIS's
    reports, a phone last rang or was answered. With `waits_for_legs`, legs that lack what UIS reported are incomplete;
    otherwise they are accepted.
    """
    ordered = sorted(legs, key=lambda leg: (leg.started_at, leg.leg_id))
    talks = [leg for leg in _employee_legs(ordered) if leg.is_talked]
    if not ordered or (
        waits_for_legs
        and not _is_complete(ordered, talks, expects_talk=expects_talk, last_activity_at=last_activity_at)
    ):
        return None
    talk_legs = talks or [leg for leg in ordered if leg.is_talked and expects_talk]
    return _summary(ordered, talks, talk_legs, by_owner=_by_owner(talks, owner))


def has_talk(legs: Iterable[CallLeg]) -> bool:
    """Whether an employee talked."""
    return any(leg.is_talked for leg in _employee_legs(legs))


def finish_reason(legs: Iterable[CallLeg]) -> str:
    """Return why the call ended, in its last leg: the outside party's, if UIS reports theirs; "" if it is not told."""
    ordered = sorted(legs, key=lambda leg: (leg.started_at, leg.leg_id))
    outside = [leg for leg in ordered if not leg.is_operator]
    return next((leg.finish_reason for leg in (outside or ordered)[-1:]), "")


def record_ids(legs: Sequence[CallLeg], *, owner_id: int | None = None) -> tuple[str, ...]:
    """Return recording ids in the order of the talks, without repeats; with `owner_id` only those of their talks."""
    return tuple(recorded_talks([leg for leg in legs if owner_id is None or leg.employee_id == owner_id]))


def recorded_talks(legs: Sequence[CallLeg]) -> dict[str, CallLeg]:
    """Return recording ids in the order of the talks, each with its talk."""
    ordered = _by_talk_start([leg for leg in legs if leg.record_ids and not leg.is_coach])
    # It is undocumented which legs have records: the outside party's may repeat those of the employees.
    by_party = [leg for leg in ordered if leg.is_operator] + [leg for leg in ordered if not leg.is_operator]
    talks: dict[str, CallLeg] = {}
    for leg in by_party:
        for record in leg.record_ids:
            talks.setdefault(record, leg)
    return talks


def _summary(
    ordered: Sequence[CallLeg], talks: Sequence[CallLeg], talk_legs: Sequence[CallLeg], *, by_owner: Sequence[CallLeg]
) -> LegSummary:
    """Summarise complete legs; `talks` are those of employees, `talk_legs` those that show a talk at all."""
    owner_leg = next(iter(by_owner), None)
    owner_id = owner_leg.employee_id if owner_leg else None
    first = min((leg.talk_started_at for leg in talk_legs), default=None)
    longest_seconds = max(leg.total_seconds for leg in ordered)
    outside, reason = [leg for leg in ordered if not leg.is_operator], finish_reason(ordered)
    return LegSummary(
        result=Result.ANSWERED if talk_legs else finish_reasons.unanswered_result(reason),
        owner_id=owner_id,
        owner_number=owner_leg.called if owner_leg else "",
        talk_seconds=_talked(talk_legs),
        # Not below 0: in the hour repeated at the end of DST a talk may seem to begin before its call.
        wait_seconds=max(0, round((first - ordered[0].started_at).total_seconds())) if first else longest_seconds,
        started_at=ordered[0].started_at,
        ended_at=max(leg.ended_at for leg in ordered),
        contacts=tuple(leg.contact for leg in ordered if leg.contact),
        sides=tuple(number for leg in outside for number in (leg.calling, leg.called) if number),
        number=next((leg.number for leg in ordered if leg.number), ""),
        rung_employee_ids=_rung(_employee_legs(ordered)),
        talker_ids=tuple(leg.employee_id for leg in _by_talk_start(talks)),
        next_owner_ids=() if owner_id else tuple(dict.fromkeys(leg.employee_id for leg in by_owner if leg.employee_id)),
        finish_reason=reason,
    )


def _is_complete(
    ordered: Sequence[CallLeg], talks: Sequence[CallLeg], *, expects_talk: bool, last_activity_at: datetime | None
) -> bool:
    """Whether every leg has ended and they contain all UIS reported: a menu may end before a phone rings."""
    if not all(leg.finish_reason for leg in ordered) or (expects_talk and not talks):
        return False
    return last_activity_at is None or last_activity_at <= max(leg.ended_at for leg in ordered) + ROUNDING


def _employee_legs(ordered: Iterable[CallLeg]) -> list[CallLeg]:
    """Return the employees' legs. A coach only listens: they were not called and do not own the call."""
    return [leg for leg in ordered if leg.is_operator and not leg.is_coach]


def _by_talk_start(legs: Iterable[CallLeg]) -> list[CallLeg]:
    return sorted(legs, key=lambda leg: (leg.talk_started_at, leg.leg_id))


def _by_owner(talks: Sequence[CallLeg], owner: str) -> list[CallLeg]:
    """Order the talks by the owner rule, the owner's first.

    The last talker is the one who talked at the end: a colleague consulted in between connected later but left earlier.
    """
    ordered = _by_talk_start(talks)
    if owner == FIRST_TALKER:
        return ordered
    if owner == LONGEST_TALKER:
        seconds: dict[object, int] = defaultdict(int)
        for leg in ordered:
            seconds[leg.employee_id or leg.called] += leg.talk_seconds
        return sorted(ordered, key=lambda leg: seconds[leg.employee_id or leg.called], reverse=True)
    return sorted(ordered, key=lambda leg: (leg.talk_ended_at, leg.talk_started_at, leg.leg_id), reverse=True)


def _talked(talks: Sequence[CallLeg]) -> int:
    """Return the seconds in which anybody talked; overlapping talks count once."""
    total, covered_until = timedelta(0), None
    for leg in sorted(talks, key=lambda leg: (leg.talk_started_at, leg.talk_ended_at)):
        begin = leg.talk_started_at if covered_until is None else max(covered_until, leg.talk_started_at)
        total += max(leg.talk_ended_at - begin, timedelta(0))
        covered_until = leg.talk_ended_at if covered_until is None else max(covered_until, leg.talk_ended_at)
    return round(total.total_seconds())


def _rung(employee_legs: Iterable[CallLeg]) -> tuple[int, ...]:
    """Return the employees whose phones rang, ordered by their last ring."""
    last = {leg.employee_id: leg.started_at for leg in employee_legs if leg.employee_id}
    return tuple(sorted(last, key=lambda employee_id: (last[employee_id], employee_id)))
