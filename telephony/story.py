"""What the facts known of one call amount to, in whatever order and however often they came. Pure.

Three sources tell of a call: notifications (typed templates, any order, some lost), the session's own row in UIS's
report, and its legs. Where they differ the legs are right, then the row, then the notifications.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from telephony.summary import Summary, record_ids, summarise
from telephony.told import Asked, Told
from telephony.uis import reasons
from telephony.uis.types import FinishedCall, Heard, Recorded, Result


class Fate(StrEnum):
    """What the facts allow to be done with a call."""

    GOES_ON = "GOES_ON"  # nobody told of its end yet
    ASK = "ASK"  # only UIS's legs can tell
    MISSED = "MISSED"  # nobody took it: nothing more needs to be asked
    TOLD = "TOLD"  # UIS has told all


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the facts are to be read: the client's rule, his own numbers, and whether more may still come."""

    owner: str
    own: Collection[str] = ()
    is_patient: bool = True


@dataclass(frozen=True, kw_only=True)
class Story:
    """One call as all its facts tell it. Ids are those of UIS."""

    fate: Fate
    direction: str = ""
    contact: str = ""
    number: str = ""
    source: str = ""
    external_id: str = ""
    is_internal: bool = False
    is_lost: bool | None = None
    result: Result | None = None
    talk_seconds: int = 0
    wait_seconds: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    owner_id: int | None = None  # whose call it is
    owner_number: str = ""  # where UIS knows only the number that was called
    maybe_ids: tuple[int, ...] = ()  # whose it may be where nobody is named for certain, the likeliest first
    rung_ids: tuple[int, ...] = ()  # whose phones rang, the last one last
    talker_ids: tuple[int | None, ...] = ()  # one for each talk
    record_ids: tuple[str, ...] = ()
    owner_record_ids: tuple[str, ...] = ()
    links: tuple[Recorded, ...] = ()  # the recordings notifications told of
    whole_record: str = ""


def tell(heard: Iterable[Heard], asked: Asked, reading: Reading) -> Story:
    """Return what the facts amount to."""
    told = Told(heard, asked.row)
    summary = summarise(
        asked.legs,
        owner=reading.owner,
        expects_talk=told.has_talk,
        is_patient=reading.is_patient,
        told_until=told.until,
    )
    if summary is not None:
        return _of_legs(told, summary, asked, reading)
    if asked.row is not None and (told.is_missed or not reading.is_patient):
        return _of_row(told, asked.row, reading)
    return _of_notifications(told, reading)


def _of_legs(told: Told, summary: Summary, asked: Asked, reading: Reading) -> Story:
    is_missed = told.direction == "in" and summary.result != Result.ANSWERED
    row_says = asked.row.result if asked.row else None
    common = _common(told, reading, summary=summary)
    known = {
        "number": summary.number or common["number"],
        "rung_ids": summary.rung_ids or common["rung_ids"],
        "is_lost": is_missed,
        "result": (row_says or reasons.of_missed(summary.finish_reason)) if is_missed else summary.result,
        "talk_seconds": summary.talk_seconds,
        "wait_seconds": summary.wait_seconds,
        "started_at": summary.started_at,
        "ended_at": summary.ended_at,
        **_owner(told, summary, is_missed=is_missed),
        "talker_ids": summary.talker_ids,
        "record_ids": record_ids(asked.legs) or (asked.row.record_ids if asked.row else ()),
        "owner_record_ids": record_ids(asked.legs, owner_id=summary.owner_id) if summary.owner_id else (),
        "whole_record": asked.row.whole_record if asked.row else "",
    }
    # A leg's direction is not the call's: without anybody who knows that, nothing is told.
    return Story(fate=Fate.TOLD if told.direction else Fate.ASK, **(common | known))


def _owner(told: Told, summary: Summary, *, is_missed: bool) -> dict[str, Any]:
    """Return whose call it is: of a missed one who was rung last; of a talk its talker, though UIS may not name him."""
    if is_missed:
        return {"owner_id": next(iter((summary.rung_ids or told.rung_ids)[::-1]), None)}
    is_unnamed = not any(summary.talker_ids)
    maybe = _named(told.talker_id, *(() if summary.talker_ids else summary.rung_ids)) if is_unnamed else ()
    return {"owner_id": summary.owner_id, "owner_number": summary.owner_number, "maybe_ids": maybe}


def _of_row(told: Told, row: FinishedCall, reading: Reading) -> Story:
    """Let the session's own row tell: of a missed call it knows all, of others it stands in where legs never came."""
    is_missed = told.is_missed
    known = {
        "is_lost": is_missed,
        "result": row.result or (Result.NO_ANSWER if is_missed else Result.UNKNOWN),
        "talk_seconds": row.talk_seconds or 0,
        "wait_seconds": row.wait_seconds or 0,
        "started_at": row.started_at,
        "ended_at": row.happened_at or told.ended_at or row.started_at,
        "owner_id": (is_missed and told.rung_id) or told.talker_id,
        "talker_ids": (row.talker_id,) if row.talk_seconds else (),
        "record_ids": row.record_ids,
        "whole_record": row.whole_record,
    }
    return Story(fate=Fate.MISSED if is_missed else Fate.TOLD, **(_common(told, reading) | known))


def _of_notifications(told: Told, reading: Reading) -> Story:
    """Tell what is known so far: of a missed call all that is needed, of others what a list may show meanwhile."""
    is_missed = told.is_missed
    fate = Fate.MISSED if is_missed else Fate.ASK if told.finished else Fate.GOES_ON
    known = {
        "is_lost": is_missed or (False if told.has_talk else None),
        "result": Result.NO_ANSWER if is_missed else None,
        "talk_seconds": max((said.talk_seconds or 0 for said in told.finished), default=0),
        "wait_seconds": max((said.wait_seconds or 0 for said in told.finished), default=0),
        "started_at": told.began_at,
        "ended_at": told.ended_at,
        "owner_id": (is_missed and told.rung_id) or told.talker_id,
    }
    return Story(fate=fate, **(_common(told, reading) | known))


def _common(told: Told, reading: Reading, *, summary: Summary | None = None) -> dict[str, Any]:
    """Return what any source may know."""
    contacts, sides = (summary.contacts, summary.sides) if summary else ((), ())
    contact = told.contact([*contacts], sides=sides, own=reading.own)
    return {
        "direction": told.direction,
        "contact": contact,
        "number": told.first(lambda said: said.number),
        "source": told.first(lambda said: said.source if isinstance(said, FinishedCall) else ""),
        "external_id": told.external_id,
        "is_internal": told.is_internal(contact, reading.own),
        "rung_ids": told.rung_ids,
        "links": tuple(said for said in told.heard if isinstance(said, Recorded) and said.link),
    }


def _named(*ids: int | None) -> tuple[int, ...]:
    return tuple(dict.fromkeys(one for one in ids if one))
