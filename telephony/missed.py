"""Who called in vain, and until when: the calls of one client told by caller. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

NOBODY = ""


@dataclass(frozen=True, kw_only=True)
class Miss:
    """One incoming call that nobody took."""

    contact: str
    at: datetime  # when it began
    call: int = 0  # our key
    owner: str = NOBODY


@dataclass(frozen=True, kw_only=True)
class Talk:
    """One call with a talk, in either direction and whoever talked."""

    contact: str
    began_at: datetime
    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class Wait:
    """One caller from his first miss until somebody talks to him; whoever is missed again waits again."""

    contact: str
    first_at: datetime
    last_at: datetime
    last_call: int  # our key
    tries: int  # how often he called in vain
    owner: str  # whose the last of his calls is that is anybody's
    is_after_hours: bool  # all of them were
    over_at: datetime | None = None  # when the talk began; None: he still waits

    @property
    def is_open(self) -> bool:
        return self.over_at is None


def waits(misses: Iterable[Miss], talks: Iterable[Talk], *, is_at_work: Callable[[datetime], bool]) -> list[Wait]:
    """Return every wait that these calls amount to, in whatever order they became known; the longest first.

    A miss is over by the first talk with that number that ended after the miss began. Not by one that began after it:
    who is called back at the moment he calls again talks in a call that began earlier.
    """
    talked: dict[str, list[Talk]] = defaultdict(list)
    for talk in talks:
        talked[talk.contact].append(talk)
    for found in talked.values():
        found.sort(key=lambda talk: (talk.ended_at, talk.began_at))
    grouped: dict[tuple[str, int], list[Miss]] = defaultdict(list)
    for miss in misses:
        place = bisect_right(talked.get(miss.contact, []), miss.at, key=lambda talk: talk.ended_at)
        grouped[miss.contact, place].append(miss)
    told = (
        _wait(group, talked.get(contact, [])[place : place + 1], is_at_work)
        for (contact, place), group in grouped.items()
    )
    return sorted(told, key=lambda wait: (wait.first_at, wait.contact))


def _wait(group: Sequence[Miss], over_by: Sequence[Talk], is_at_work: Callable[[datetime], bool]) -> Wait:
    """Return the wait that misses between two talks are."""
    in_turn = sorted(group, key=lambda miss: (miss.at, miss.call, miss.owner))
    first_at = in_turn[0].at
    return Wait(
        contact=in_turn[0].contact,
        first_at=first_at,
        last_at=in_turn[-1].at,
        last_call=in_turn[-1].call,
        tries=len(in_turn),
        owner=next((miss.owner for miss in in_turn[::-1] if miss.owner), NOBODY),
        is_after_hours=not any(is_at_work(miss.at) for miss in in_turn),
        over_at=max(over_by[0].began_at, first_at) if over_by else None,
    )
