"""What UIS's report tells of a call that our row does not. Pure.

What the report does not tell is no difference.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from telephony.calls.evidence import CLICK_TO_CALL_PREFIX
from telephony.uis.types import EndedEvent, Result

# Notifications and legs may name another second of the same start.
START_TOLERANCE = timedelta(minutes=1)


class Difference(StrEnum):
    """A field in which the report and our row differ."""

    TALK = "TALK"
    DIRECTION = "DIRECTION"
    CONTACT = "CONTACT"
    NUMBER = "NUMBER"
    RESULT = "RESULT"
    START = "START"


@dataclass(frozen=True, kw_only=True)
class KnownFacts:
    """What our row says of a call; "" and None are unknown."""

    has_talk: bool = False  # or was not lost by UIS's word
    direction: str = ""
    contact: str = ""
    number: str = ""
    result: str = ""
    started_at: datetime | None = None


def find_differences(known: KnownFacts, reported: EndedEvent) -> frozenset[Difference]:
    """Return the fields that the report tells otherwise; it never takes back a talk that somebody else told of."""
    is_told = {
        Difference.TALK: _is_answered(reported) and not known.has_talk,
        Difference.DIRECTION: reported.direction not in {"", known.direction} and not _is_click(reported),
        Difference.CONTACT: bool(reported.contact) and reported.contact != known.contact,
        Difference.NUMBER: bool(reported.number) and reported.number != known.number,
        Difference.RESULT: _is_other_result(known.result, reported.result),
        Difference.START: known.started_at is not None
        and reported.started_at is not None
        and abs(reported.started_at - known.started_at) > START_TOLERANCE,
    }
    return frozenset(name for name, differs in is_told.items() if differs)


def of_report(row: EndedEvent) -> KnownFacts:
    """Return what an earlier row of the report told of the call."""
    return KnownFacts(
        has_talk=_is_answered(row),
        direction=row.direction,
        contact=row.contact,
        number=row.number,
        result=row.result or "",
        started_at=row.started_at,
    )


def _is_answered(reported: EndedEvent) -> bool:
    """Whether somebody talked, or UIS says that an incoming call was not lost: then a menu served the caller."""
    is_served = reported.direction == "in" and reported.is_lost is False and not _is_click(reported)
    return bool(reported.talk_seconds) or is_served


def _is_click(reported: EndedEvent) -> bool:
    """Whether we started the call: it is outgoing, whatever direction UIS reports."""
    return reported.external_id.startswith(CLICK_TO_CALL_PREFIX)


def _is_other_result(known: str, reported: Result | None) -> bool:
    """Whether both are known and differ. An answer that the report does not confirm is none: UIS may be late."""
    unknown = {"", Result.UNKNOWN, None}
    return known not in {*unknown, Result.ANSWERED} and reported not in unknown and reported != known
