"""Groups one tenant's missed calls by caller, up to the talk that closes them. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

UNASSIGNED_OWNER = ""


@dataclass(frozen=True, kw_only=True)
class MissedCall:
    """An incoming call that nobody answered."""

    contact: str
    at: datetime  # start of the call
    call: int = 0  # our primary key
    owner: str = UNASSIGNED_OWNER


@dataclass(frozen=True, kw_only=True)
class Talk:
    """A call with a talk, in either direction and by any employee."""

    contact: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class MissedCaller:
    """A caller from the first missed call until somebody talks to them; a later missed call starts a new one."""

    contact: str
    first_at: datetime
    last_at: datetime
    last_call: int  # our primary key
    missed_count: int  # number of missed calls
    owner: str  # of the last call that has one
    is_after_hours: bool  # all calls were
    answered_at: datetime | None = None  # start of the closing talk; None while open

    @property
    def is_open(self) -> bool:
        return self.answered_at is None


def group_waits(
    misses: Iterable[MissedCall], talks: Iterable[Talk], *, is_at_work: Callable[[datetime], bool]
) -> list[MissedCaller]:
    """Group missed calls, in any order, into missed callers, longest waiting first.

    A missed call is closed by the first talk with that number that ended after the missed call began. The talk may have
    begun earlier: a caller who calls again while being called back talks in the earlier call.
    """
    talked, grouped = _group(misses, talks)
    found_waits = (
        _wait(group, talked.get(contact, [])[index : index + 1], is_at_work)
        for (contact, index), group in grouped.items()
    )
    return sorted(found_waits, key=lambda wait: (wait.first_at, wait.contact))


def unanswered(misses: Iterable[MissedCall], talks: Iterable[Talk]) -> list[MissedCall]:
    """Return the missed calls, in any order, that no talk closes, by the same rule as `group_waits`."""
    talked, grouped = _group(misses, talks)
    open_groups = (group for (contact, index), group in grouped.items() if index == len(talked.get(contact, ())))
    return [miss for group in open_groups for miss in group]


def _group(
    misses: Iterable[MissedCall], talks: Iterable[Talk]
) -> tuple[dict[str, list[Talk]], dict[tuple[str, int], list[MissedCall]]]:
    """Return each contact's talks by their end, and the missed calls by contact and number of the closing talk."""
    talked: dict[str, list[Talk]] = defaultdict(list)
    for talk in talks:
        talked[talk.contact].append(talk)
    for of_contact in talked.values():
        of_contact.sort(key=lambda talk: (talk.ended_at, talk.started_at))
    grouped: dict[tuple[str, int], list[MissedCall]] = defaultdict(list)
    for miss in misses:
        index = bisect_right(talked.get(miss.contact, []), miss.at, key=lambda talk: talk.ended_at)
        grouped[miss.contact, index].append(miss)
    return talked, grouped


def _wait(
    group: Sequence[MissedCall], closing_talk: Sequence[Talk], is_at_work: Callable[[datetime], bool]
) -> MissedCaller:
    ordered = sorted(group, key=lambda miss: (miss.at, miss.call, miss.owner))
    first_at = ordered[0].at
    return MissedCaller(
        contact=ordered[0].contact,
        first_at=first_at,
        last_at=ordered[-1].at,
        last_call=ordered[-1].call,
        missed_count=len(ordered),
        owner=next((miss.owner for miss in ordered[::-1] if miss.owner), UNASSIGNED_OWNER),
        is_after_hours=not any(is_at_work(miss.at) for miss in ordered),
        answered_at=max(closing_talk[0].started_at, first_at) if closing_talk else None,
    )
