"""Resolves all evidence about a call, in any order and with repeats, to one result. Pure.

There are three sources: notifications (templates typed by people, any order, some lost), the session's row in UIS's
report, and its legs. Where they differ, legs win over the row, and the row over notifications.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from telephony.calls.attribution import Told
from telephony.calls.evidence import CallEvidence, UisSnapshot
from telephony.calls.legs import LegSummary, record_ids, summarise
from telephony.uis import finish_reasons
from telephony.uis.types import CallEvent, EndedEvent, RecordingEvent, Result


class ResolutionStatus(StrEnum):
    """What the evidence allows to do with a call."""

    IN_PROGRESS = "IN_PROGRESS"  # no end reported yet
    NEEDS_LEGS = "NEEDS_LEGS"  # the legs must be fetched
    MISSED = "MISSED"  # nobody answered: nothing more to fetch
    COMPLETE = "COMPLETE"  # everything is known


@dataclass(frozen=True, kw_only=True)
class CallResolution:
    """The result for one call. Ids are UIS's."""

    status: ResolutionStatus
    direction: str = ""
    contact: str = ""
    number: str = ""
    external_id: str = ""
    is_internal: bool = False
    is_lost: bool | None = None
    result: Result | None = None
    talk_seconds: int = 0
    wait_seconds: int = 0
    after_wait_seconds: int = 0  # of a call without a talk, by its notifications: to whom nobody talked
    started_at: datetime | None = None
    ended_at: datetime | None = None
    owner_id: int | None = None
    owner_number: str = ""  # if UIS knows only the called number
    candidate_ids: tuple[int, ...] = ()  # possible owners if none is certain, likeliest first
    rung_employee_ids: tuple[int, ...] = ()  # employees whose phones rang, in order
    talker_ids: tuple[int | None, ...] = ()  # one per talk
    record_ids: tuple[str, ...] = ()
    owner_record_ids: tuple[str, ...] = ()
    links: tuple[RecordingEvent, ...] = ()  # recordings reported by notifications
    whole_record: str = ""
    told: tuple[Told, ...] = field(default=(), hash=False)  # of where it came from

    @property
    def has_talk(self) -> bool:
        """Whether somebody talked, as far as is known; in either direction."""
        return self.result == Result.ANSWERED or (self.result is None and self.is_lost is False)


def resolve(
    events: Iterable[CallEvent],
    snapshot: UisSnapshot,
    *,
    owner: str,
    own_numbers: Collection[str] = (),
    reads: Collection[str] = (),
    waits_for_legs: bool = True,
    is_asked: bool = False,
) -> CallResolution:
    """Resolve by the tenant's owner rule and own numbers; with `waits_for_legs`, more evidence may still come.

    `reads` and `is_asked`: see CallEvidence.
    """
    evidence = CallEvidence(events, snapshot.row, own_numbers, reads=reads, is_asked=is_asked)
    summary = snapshot.legs and summarise(
        snapshot.legs,
        owner=owner,
        expects_talk=evidence.has_talk,
        waits_for_legs=waits_for_legs,
        last_activity_at=evidence.last_activity_at,
    )
    if summary:
        return _from_legs(evidence, summary, snapshot)
    if snapshot.row is not None and (evidence.is_missed or not waits_for_legs):
        return _from_row(evidence, snapshot.row)
    return _from_notifications(evidence)


def _from_legs(evidence: CallEvidence, summary: LegSummary, snapshot: UisSnapshot) -> CallResolution:
    has_talk, is_in = summary.result == Result.ANSWERED, evidence.direction == "in"
    is_missed = is_in and not has_talk and evidence.is_lost is not False
    result = summary.result
    if is_in and not has_talk:
        reported = snapshot.row.result if snapshot.row and not is_missed else None
        result = reported or finish_reasons.incoming_result(summary.finish_reason, is_lost=is_missed)
    common = evidence.fields(contacts=summary.contacts, sides=summary.sides)
    fields = {
        "number": summary.number or common["number"],
        "rung_employee_ids": summary.rung_employee_ids or common["rung_employee_ids"],
        "is_lost": is_missed,
        "result": result,
        "talk_seconds": summary.talk_seconds or (0 if is_missed else evidence.talk_seconds),
        "wait_seconds": summary.wait_seconds,
        "started_at": summary.started_at,
        "ended_at": summary.ended_at,
        **_owner(evidence, summary, is_missed=is_missed),
        "talker_ids": summary.talker_ids,
        "record_ids": record_ids(snapshot.legs) or (snapshot.row.record_ids if snapshot.row else ()),
        "owner_record_ids": record_ids(snapshot.legs, owner_id=summary.owner_id) if summary.owner_id else (),
        "whole_record": snapshot.row.whole_record if snapshot.row else "",
    }
    # A leg's direction is not the call's: without the call's the result is incomplete.
    return CallResolution(
        status=ResolutionStatus.COMPLETE if evidence.direction else ResolutionStatus.NEEDS_LEGS, **(common | fields)
    )


def _owner(evidence: CallEvidence, summary: LegSummary, *, is_missed: bool) -> dict[str, Any]:
    """Return the owner: of a missed call the employee rung last, of a talk the talker if UIS names them."""
    if is_missed:
        return {"owner_id": next(iter((summary.rung_employee_ids or evidence.rung_employee_ids)[::-1]), None)}
    # UIS names nobody for a talk on an outside number: unless it is an employee's, the next one by the rule owns it.
    rung = () if summary.talker_ids else summary.rung_employee_ids
    candidates = () if summary.owner_id else _distinct(*summary.next_owner_ids, evidence.talker_id, *rung)
    return {"owner_id": summary.owner_id, "owner_number": summary.owner_number, "candidate_ids": candidates}


def _from_row(evidence: CallEvidence, row: EndedEvent) -> CallResolution:
    """Resolve from the report row: complete for a missed call, a fallback for others whose legs never came."""
    is_missed = evidence.is_missed
    fields = {
        "is_lost": is_missed,
        "result": row.result or (Result.NO_ANSWER if is_missed else Result.UNKNOWN),
        "talk_seconds": row.talk_seconds or 0,
        "wait_seconds": row.wait_seconds or 0,
        "started_at": row.started_at,
        "ended_at": row.happened_at or evidence.ended_at or row.started_at,
        "owner_id": (is_missed and evidence.rung_id) or evidence.talker_id,
        "talker_ids": (row.talker_id,) if row.talk_seconds else (),
        "record_ids": row.record_ids,
        "whole_record": row.whole_record,
    }
    return CallResolution(
        status=ResolutionStatus.MISSED if is_missed else ResolutionStatus.COMPLETE,
        **(evidence.fields() | fields),
    )


def _from_notifications(evidence: CallEvidence) -> CallResolution:
    """Resolve from notifications: complete for a missed call, provisional for others."""
    is_missed, is_in = evidence.is_missed, evidence.direction == "in"
    not_missed = ResolutionStatus.NEEDS_LEGS if evidence.finished else ResolutionStatus.IN_PROGRESS
    fields = {
        "is_lost": is_missed or (False if evidence.has_talk or (is_in and evidence.is_lost is False) else None),
        "result": Result.NO_ANSWER if is_missed else None,
        "talk_seconds": evidence.talk_seconds,
        "wait_seconds": max((event.wait_seconds or 0 for event in evidence.finished), default=0),
        "started_at": evidence.started_at,
        "ended_at": evidence.ended_at,
        "owner_id": (is_missed and evidence.rung_id) or evidence.talker_id,
    }
    return CallResolution(status=ResolutionStatus.MISSED if is_missed else not_missed, **(evidence.fields() | fields))


def _distinct(*ids: int | None) -> tuple[int, ...]:
    return tuple(dict.fromkeys(one for one in ids if one))
