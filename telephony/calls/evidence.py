"""Evidence about one call from its notifications, in any order, and its row in UIS's report. Pure."""

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from connector_project.core import phone_numbers
from telephony.calls import attribution
from telephony.calls.legs import ROUNDING
from telephony.calls.stored_events import KEPT
from telephony.uis.types import AnsweredEvent, CallEvent, CallLeg, EndedEvent, Event, RecordingEvent, RingingEvent

# Prefix of the external id of click-to-call calls: they are outgoing, whatever direction UIS reports.
CLICK_TO_CALL_PREFIX = "click-"
LONGEST_CALL = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class UisSnapshot:
    """What UIS returned about a call on request."""

    row: EndedEvent | None = None
    legs: tuple[CallLeg, ...] = ()


_adapter: TypeAdapter[UisSnapshot] = TypeAdapter(UisSnapshot)


def dump(snapshot: UisSnapshot) -> str:
    """Return the snapshot as JSON to store; where the call came from is a column of its own."""
    return _adapter.dump_json(snapshot, exclude_defaults=True, exclude={"row": {"attribution"}}).decode()


def load(text: str) -> UisSnapshot:
    """Return the snapshot written by `dump`; "" means that nothing was requested."""
    return _adapter.validate_json(text) if text else UisSnapshot()


def updated(text: str, *, row: EndedEvent | None, legs: Sequence[CallLeg]) -> str:
    """Return a stored snapshot with new answers of UIS; where it returned nothing, the earlier answer stays."""
    before = load(text)
    return dump(UisSnapshot(row=row or before.row, legs=tuple(legs) or before.legs))


class CallEvidence:
    """The evidence about a call, without repeats and in the order of events.

    `reads` are the fields that a missed call is decided by, see `untold`. `is_asked`: UIS's report was asked for the
    call and does not know it; what notifications tell must do then.
    """

    def __init__(
        self,
        events: Iterable[CallEvent],
        row: EndedEvent | None,
        own_numbers: Collection[str],
        *,
        reads: Collection[str] = (),
        is_asked: bool = False,
    ) -> None:
        told = list(events)
        unique = {_sort_key(event): event for event in told}
        self.events = [unique[key] for key in sorted(unique)]
        self.row = row
        self._counts = Counter(event.event for event in told)
        self.own_numbers, self._reads, self._is_asked = own_numbers, {*reads}, is_asked
        self.ends = [event for event in self.events if isinstance(event, EndedEvent)]
        # Best source first: the report row, then the latest end.
        self.finished = [*([row] if row else []), *self.ends[::-1]]
        self.all: list[CallEvent] = [*self.finished, *self.events]

    @functools.cached_property
    def has_talk(self) -> bool:
        """Whether any source reports a talk; an answer overrides a miss, whatever came first.

        A call that is not lost had one, unless its end tells a talk time of 0: a menu or an informer served the caller.
        """
        is_in = self.direction == "in"
        if any(
            end.talk_seconds or (is_in and end.is_lost is False and end.talk_seconds is None) for end in self.finished
        ):
            return True
        return any(
            isinstance(event, AnsweredEvent | RecordingEvent) or event.event == Event.TALK_FINISHED
            for event in self.events
        )

    @functools.cached_property
    def talk_seconds(self) -> int:
        """The longest talk time that is told; 0 also where none is."""
        return max((end.talk_seconds or 0 for end in self.finished), default=0)

    @functools.cached_property
    def is_lost(self) -> bool | None:
        """UIS's word, that of the report first; None if it said nothing. A menu's end may be told as lost before."""
        if self.row and self.row.is_lost is not None:
            return self.row.is_lost
        told = {end.is_lost for end in self.ends} - {None}
        if not told and self._is_asked:
            return any(end.talk_seconds == 0 for end in self.ends) or None
        return all(told) if told else None

    @functools.cached_property
    def untold(self) -> frozenset[str]:
        """What no notification tells of a missed call. That the number is hidden, or that no phone rang, is told."""
        is_told = {
            "contact": any(event.contact or event.is_hidden for event in self.events),
            "number": any(event.number for event in self.events),
            "employees": any(end.rung_employee_ids is not None for end in self.ends) or bool(self.rung_employee_ids),
        }
        return frozenset(name for name, is_known in is_told.items() if not is_known)

    @functools.cached_property
    def rang_after_end(self) -> bool:
        """Whether a phone rang after the reported end: then only a menu or a queue had ended."""
        last = max((event.happened_at for event in self.ends if event.happened_at), default=None)
        return last is not None and any(at > last + ROUNDING for at in self._rings())

    @property
    def is_over(self) -> bool:
        """Whether the call has ended."""
        return bool(self.ends) and not self.rang_after_end

    @functools.cached_property
    def is_missed(self) -> bool:
        """Whether an incoming call was lost, no source reports an answer, and all is told that decides it."""
        is_known = not (self._may_lack_events or self.untold & self._reads)
        is_proven = self.row is not None or self._is_asked or is_known
        return (
            self.direction == "in" and bool(self.is_lost) and is_proven and not (self.has_talk or self.rang_after_end)
        )

    @property
    def _may_lack_events(self) -> bool:
        """Whether there are so many events of a kind that older ones are no longer kept: an answer may be one."""
        return any(count >= KEPT.get(event, count + 1) for event, count in self._counts.items())

    @functools.cached_property
    def direction(self) -> str:
        """The direction by the report, else by the first notification that has one, end events first."""
        if self.external_id.startswith(CLICK_TO_CALL_PREFIX):
            return "out"
        if self.row and self.row.direction:
            return self.row.direction
        return next((event.direction for event in [*self.ends, *self.events] if event.direction), "")

    @functools.cached_property
    def external_id(self) -> str:
        return next((event.external_id for event in self.all if event.external_id), "")

    @functools.cached_property
    def started_at(self) -> datetime | None:
        """The start by the report, else by an end event, else the time of the first event.

        Not the earliest time of all: in the hour repeated at the end of DST an end may seem to precede its start.
        """
        if self.row and self.row.started_at:
            return self.row.started_at
        starts = [start for end in self.ends if (start := self._start_by(end))]
        return min(starts or [event.happened_at for event in self.events if event.happened_at], default=None)

    def _start_by(self, end: EndedEvent) -> datetime | None:
        """Return the start by this end; by its duration if no call can have lasted since the start it names."""
        if not end.started_at or not self.ended_at or abs(self.ended_at - end.started_at) <= LONGEST_CALL:
            return end.started_at
        lasted = timedelta(seconds=end.total_seconds or end.wait_seconds or 0)
        return end.happened_at - lasted if end.happened_at else None

    @functools.cached_property
    def ended_at(self) -> datetime | None:
        return max((event.happened_at for event in self.finished if event.happened_at), default=None)

    @functools.cached_property
    def rung_employee_ids(self) -> tuple[int, ...]:
        """Employees whose phones rang: those named only by an end, then the others by their last ringing event."""
        named = [employee_id for event in self.finished for employee_id in event.rung_employee_ids or ()]
        rung = [event.employee_id for event in self.events if isinstance(event, RingingEvent) and event.employee_id]
        by_last_ring = list(dict.fromkeys(rung[::-1]))[::-1]
        return (*(one for one in dict.fromkeys(named) if one not in by_last_ring), *by_last_ring)

    @functools.cached_property
    def rung_id(self) -> int | None:
        """The employee whose phone rang last."""
        return next(iter(self.rung_employee_ids[::-1]), None)

    @functools.cached_property
    def talker_id(self) -> int | None:
        talkers = (event.talker_id for event in self.finished if event.talker_id)
        started = (
            event.employee_id for event in self.events[::-1] if isinstance(event, AnsweredEvent) and event.employee_id
        )
        return next(talkers, None) or next(started, None)

    @functools.cached_property
    def last_activity_at(self) -> datetime | None:
        """When a phone last rang or was answered: legs that end earlier are incomplete."""
        answers = (event.happened_at for event in self.events if isinstance(event, AnsweredEvent) and event.happened_at)
        return max([*self._rings(), *answers], default=None)

    def fields(self, *, contacts: Collection[str] = (), sides: Collection[str] = ()) -> dict[str, Any]:
        """Return what any source may know of the call; legs may name its contacts, and the numbers of both `sides`."""
        contact = self._contact([*contacts, *(event.contact for event in self.all if event.contact)], sides)
        return {
            "direction": self.direction,
            "contact": contact,
            "number": next((event.number for event in self.all if event.number), ""),
            "told": attribution.told_by(self.events),
            "external_id": self.external_id,
            "is_internal": self._is_internal(contact),
            "rung_employee_ids": self.rung_employee_ids,
            "after_wait_seconds": 0 if self.has_talk else max((end.after_wait_seconds for end in self.ends), default=0),
            "links": tuple(event for event in self.events if isinstance(event, RecordingEvent) and event.link),
        }

    def _contact(self, named: Sequence[str], sides: Iterable[str]) -> str:
        """Return the outside party's number: the first external one that is not the tenant's own.

        Of `sides` only such a number counts: if a caller hides their number, the tenant's is left there.
        """
        outside = (
            number
            for number in (*named, *sides)
            if phone_numbers.is_external(number) and number not in self.own_numbers
        )
        return next(outside, next(iter(named), ""))

    def _is_internal(self, contact: str) -> bool:
        """Whether it is a call between colleagues: a source says so, or no outside party took part.

        A source that knows only an extension says nothing about a call in which another one names an outside party. A
        short contact is an extension unless UIS says that the call is not internal: it may be 112.
        """
        if contact in self.own_numbers:
            return True
        if phone_numbers.is_internal(contact):
            stated = {event.is_internal for event in self.all}
            return True in stated or False not in stated
        return any(event.is_internal and not phone_numbers.is_internal(event.contact) for event in self.all)

    def _rings(self) -> list[datetime]:
        return [event.happened_at for event in self.events if isinstance(event, RingingEvent) and event.happened_at]


def _sort_key(event: CallEvent) -> tuple[float, str, str]:
    """Return a sort key that does not depend on the order of arrival."""
    return (event.happened_at.timestamp() if event.happened_at else 0.0, event.event, repr(event))
