"""What was told of one call by its notifications and by its row in UIS's report, in no matter which order. Pure."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from connector_project import phones
from telephony.summary import ROUNDING
from telephony.uis.types import CallLeg, Event, FinishedCall, Heard, Recorded, TalkStarted, WaitingCall

# How the calls that the CRM ordered are named in UIS; whatever they are filed under there, an employee called somebody.
ORDERED = "click-"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What UIS answered about a call when it was asked."""

    row: FinishedCall | None = None
    legs: tuple[CallLeg, ...] = ()


_asked: TypeAdapter[Asked] = TypeAdapter(Asked)


def dump(asked: Asked) -> str:
    """Return the answers in a form a row can keep."""
    return _asked.dump_json(asked, exclude_defaults=True).decode()


def load(text: str) -> Asked:
    """Return the answers that `dump` wrote; "" means that nothing was asked."""
    return _asked.validate_json(text) if text else Asked()


class Told:
    """What was told of a call, each thing once and in the order it happened."""

    def __init__(self, heard: Iterable[Heard], row: FinishedCall | None) -> None:
        self.heard = sorted(set(heard), key=_place)
        self.row = row
        self.ends = [said for said in self.heard if isinstance(said, FinishedCall)]
        # The best first: the report's row, then the latest end.
        self.finished = [*([row] if row else []), *self.ends[::-1]]
        self.all: list[Heard] = [*self.finished, *self.heard]

    @property
    def has_talk(self) -> bool:
        """Whether anybody told of a talk; an answer beats a miss, whatever came first."""
        is_in = self.direction == "in"
        if any(end.talk_seconds or (is_in and end.is_lost is False) for end in self.finished):
            return True
        return any(isinstance(said, TalkStarted | Recorded) or said.event == Event.TALK_FINISHED for said in self.heard)

    @property
    def goes_on_after_its_end(self) -> bool:
        """Whether a phone rang after the end that was told: then only a menu or a queue had ended."""
        last = max((said.happened_at for said in self.ends if said.happened_at), default=None)
        return last is not None and any(at > last + ROUNDING for at in self._rings())

    @property
    def is_missed(self) -> bool:
        """Whether an incoming call is over and nobody took it, as far as anybody told."""
        is_lost = any(end.is_lost for end in self.finished)
        return self.direction == "in" and is_lost and not self.has_talk and not self.goes_on_after_its_end

    @property
    def direction(self) -> str:
        """Which way the call went: as the report says, else as most of its notifications do."""
        if self.external_id.startswith(ORDERED):
            return "out"
        if self.row and self.row.direction:
            return self.row.direction
        return next((said.direction for said in [*self.ends, *self.heard] if said.direction), "")

    @property
    def external_id(self) -> str:
        return next((said.external_id for said in self.finished if said.external_id), "")

    @property
    def began_at(self) -> datetime | None:
        """When it began: as an end says; else when the first thing happened.

        Not the earliest of all: in the hour that clocks repeat an end may seem to come before its beginning.
        """
        starts = [said.started_at for said in self.finished if said.started_at]
        return min(starts or [said.happened_at for said in self.heard if said.happened_at], default=None)

    @property
    def ended_at(self) -> datetime | None:
        return max((said.happened_at for said in self.finished if said.happened_at), default=None)

    @property
    def rung_ids(self) -> tuple[int, ...]:
        """Whose phones rang: those somebody named first, then those whose ring was told of, the last one last."""
        named = [employee_id for said in self.finished for employee_id in said.rung_ids]
        rung = [said.employee_id for said in self.heard if isinstance(said, WaitingCall) and said.employee_id]
        in_turn = list(dict.fromkeys(rung[::-1]))[::-1]
        return (*(one for one in dict.fromkeys(named) if one not in in_turn), *in_turn)

    @property
    def rung_id(self) -> int | None:
        """Whose phone rang last."""
        return next(iter(self.rung_ids[::-1]), None)

    @property
    def talker_id(self) -> int | None:
        talkers = (said.talker_id for said in self.finished if said.talker_id)
        started = (said.employee_id for said in self.heard[::-1] if isinstance(said, TalkStarted) and said.employee_id)
        return next(talkers, None) or next(started, None)

    @property
    def until(self) -> datetime | None:
        """When a phone last rang or was answered: legs that end before are not the whole call."""
        answers = (said.happened_at for said in self.heard if isinstance(said, TalkStarted) and said.happened_at)
        return max([*self._rings(), *answers], default=None)

    def first(self, word: Callable[[Heard], str]) -> str:
        """Return what the best source that knows it says."""
        return next((text for said in self.all if (text := word(said))), "")

    def contact(self, known: Iterable[str], *, sides: Iterable[str], own: Collection[str]) -> str:
        """Return the outside party's number: the first that is a customer's, and not one of the client's own.

        Of the sides only a customer's counts: where a caller hides his number, the other one is left.
        """
        named = [*known, *(said.contact for said in self.all if said.contact)]
        outside = (number for number in [*named, *sides] if phones.is_outside(number) and number not in own)
        return next(outside, next(iter(named), ""))

    def is_internal(self, contact: str, own: Collection[str]) -> bool:
        """Whether it is a call among colleagues: somebody said so, or nobody outside took part in it."""
        return any(said.is_internal for said in self.all) or phones.is_internal(contact) or contact in own

    def _rings(self) -> list[datetime]:
        return [said.happened_at for said in self.heard if isinstance(said, WaitingCall) and said.happened_at]


def _place(said: Heard) -> tuple[float, str, str]:
    """Return a place in one order that does not depend on which was heard first."""
    return (said.happened_at.timestamp() if said.happened_at else 0.0, said.event, repr(said))
