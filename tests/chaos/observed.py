"""What we could know of a call at a given moment: told by notifications that reached us, or read in UIS's reports."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.chaos.expectation import Fact
from tests.chaos.network import CRM, UIS, Passed
from tests.chaos.scenario import Story

REPORT, LEGS = "get.calls_report", "get.call_legs_report"


@dataclass(frozen=True)
class Accepted:
    """The CRM took a call: when, and when the task began that brought it."""

    at: datetime
    began_at: datetime


class Evidence:
    """All that passed over the line, and what it told."""

    def __init__(self, passed: list[Passed]) -> None:
        self.reads: dict[str, list[Passed]] = {}
        self._overslept = {(one.account, one.at): one.overslept for one in passed if one.side == CRM}
        for one in passed:
            if one.side == UIS and one.method in {REPORT, LEGS}:
                self.reads.setdefault(one.account, []).append(one)

    def overslept(self, account: str, at: datetime) -> timedelta:
        """Return how long whoever asked the CRM something at this moment was kept asleep by this world."""
        return self._overslept.get((account, at), timedelta())

    def rings(self, story: Story, *, accepted: Accepted | None) -> list[Fact]:
        """Return what was known of ringing phones when the call was decided upon; without a moment, at some time."""
        return [*self._told(story, accepted), *self._read(story, accepted)]

    def shown_recording(self, story: Story, accepted: Accepted) -> bool:
        """Say whether UIS told of a recording before the call was handed over."""
        told = [one for one in story.told if one.event == "recorded" and one.is_sure]
        if any(one.arrived_at < accepted.began_at for one in told):
            return True
        looks = [one for one in self._of(story, LEGS) if one.is_heard and one.at < accepted.began_at]
        shown_at = story.session.records_at
        return bool(looks) and shown_at is not None and shown_at <= looks[-1].at

    def _told(self, story: Story, accepted: Accepted | None) -> Iterator[Fact]:
        first_end = min(
            (one.arrived_at for one in story.told if one.event in {"call_end", "lost_call"}), default=story.ended_at
        )
        for one in story.told:
            if accepted is not None and one.arrived_at > accepted.at:
                continue
            known_by = accepted.began_at if accepted else first_end
            is_sure = one.is_sure and one.arrived_at < known_by
            if one.event == "waiting" and one.employee_id is not None:
                yield Fact(((one.employee_id, one.happened_at),), is_sure)
            elif one.event == "lost_call":
                yield Fact(tuple((leg.employee_id or 0, None) for leg in story.session.operator_legs), is_sure)

    def _read(self, story: Story, accepted: Accepted | None) -> Iterator[Fact]:
        """The session's row and its legs name everybody; the legs name the moment, too."""
        for method in (REPORT, LEGS):
            if any(accepted is None or one.at <= accepted.at for one in self._of(story, method)):
                rang = story.session.operator_legs
                told = ((leg.employee_id or 0, leg.started_at if method == LEGS else None) for leg in rang)
                yield Fact(tuple(told), is_sure=False)

    def _of(self, story: Story, method: str) -> list[Passed]:
        """Return the requests whose answer held this call."""
        shop, session = story.shop, story.session
        return [
            one
            for one in self.reads.get(shop.pbx.token, ())
            if one.method == method
            and session.is_shown(one.at)
            and _names(one.asked.get("filter"), session.session_id)
            and _covers(one.asked, session.started_at, ZoneInfo(shop.pbx.timezone))
        ]


def _names(chosen: Any, session_id: int) -> bool:
    """Say whether a filter lets this session pass."""
    if chosen is None:
        return True
    if "filters" in chosen:
        return any(_names(one, session_id) for one in chosen["filters"])
    value = chosen.get("value")
    return session_id in value if isinstance(value, list) else value == session_id


def _covers(asked: dict[str, Any], moment: datetime, zone: ZoneInfo) -> bool:
    local = moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    return str(asked["date_from"]) <= local <= str(asked["date_till"])
