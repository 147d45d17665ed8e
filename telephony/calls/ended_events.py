"""What the ends of a call tell together. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from telephony.uis.types import EndedEvent

LONGEST_CALL = timedelta(days=1)


def is_answered(end: EndedEvent) -> bool:
    """Whether UIS says that the call was not lost, and does not say how long anybody talked."""
    return end.is_lost is False and end.talk_seconds is None


def start(end: EndedEvent, *, ended_at: datetime | None) -> datetime | None:
    """Return the start by this end; by its duration if no call can have lasted since the start it names."""
    if not end.started_at or not ended_at or abs(ended_at - end.started_at) <= LONGEST_CALL:
        return end.started_at
    lasted = timedelta(seconds=end.total_seconds or end.wait_seconds or 0)
    return end.happened_at - lasted if end.happened_at else None


def after_wait_seconds(ends: Iterable[EndedEvent]) -> int:
    """Return how long the call went on after the wait, by the ends without a talk that tell both durations."""
    return max(
        (
            end.total_seconds - end.wait_seconds
            for end in ends
            if end.total_seconds is not None and end.wait_seconds is not None and end.talk_seconds == 0
        ),
        default=0,
    )
