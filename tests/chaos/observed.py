"""What the product could know of a call at a given moment: from delivered notifications, or from UIS's reports."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.chaos.expectation import RingEvidence
from tests.chaos.network import CRM, UIS, RecordedRequest
from tests.chaos.scenario import CallScenario

REPORT, LEGS = "get.calls_report", "get.call_legs_report"


@dataclass(frozen=True)
class Accepted:
    """When the CRM accepted the call, and when the task that uploaded it began."""

    at: datetime
    began_at: datetime


class Evidence:
    """All requests to the vendors, and what the product learned from them."""

    def __init__(self, requests: list[RecordedRequest]) -> None:
        self.reads: dict[str, list[RecordedRequest]] = {}
        self._overslept = {
            (request.account, request.at): request.overslept for request in requests if request.side == CRM
        }
        for request in requests:
            if request.side == UIS and request.method in {REPORT, LEGS}:
                self.reads.setdefault(request.account, []).append(request)

    def overslept(self, account: str, at: datetime) -> timedelta:
        """Return the delay of a request to the CRM that the simulation caused."""
        return self._overslept.get((account, at), timedelta())

    def rings(self, scenario: CallScenario, *, accepted: Accepted | None) -> list[RingEvidence]:
        """Return what was known of ringing phones when the call was uploaded; without `accepted`, at any time."""
        return [*self._from_notifications(scenario, accepted), *self._from_reports(scenario, accepted)]

    def saw_recording(self, scenario: CallScenario, accepted: Accepted) -> bool:
        """Return whether UIS reported a recording before the call was uploaded."""
        delivered = [one for one in scenario.notifications if one.event == "recorded" and one.is_sure]
        if any(one.arrived_at < accepted.began_at for one in delivered):
            return True
        reads = [
            request
            for request in self._requests_with(scenario, LEGS)
            if request.is_answered and request.at < accepted.began_at
        ]
        shown_at = scenario.session.records_at
        return bool(reads) and shown_at is not None and shown_at <= reads[-1].at

    def _from_notifications(self, scenario: CallScenario, accepted: Accepted | None) -> Iterator[RingEvidence]:
        first_end = min(
            (
                notification.arrived_at
                for notification in scenario.notifications
                if notification.event in {"call_end", "lost_call"}
            ),
            default=scenario.ended_at,
        )
        for notification in scenario.notifications:
            if accepted is not None and notification.arrived_at > accepted.at:
                continue
            known_by = accepted.began_at if accepted else first_end
            is_sure = notification.is_sure and notification.arrived_at < known_by
            if notification.event == "waiting" and notification.employee_id is not None:
                yield RingEvidence(((notification.employee_id, notification.happened_at),), is_sure)
            elif notification.event == "lost_call":
                yield RingEvidence(
                    tuple((leg.employee_id or 0, None) for leg in scenario.session.operator_legs), is_sure
                )

    def _from_reports(self, scenario: CallScenario, accepted: Accepted | None) -> Iterator[RingEvidence]:
        """The session's row and its legs name all employees; only the legs have the times."""
        for method in (REPORT, LEGS):
            if any(accepted is None or request.at <= accepted.at for request in self._requests_with(scenario, method)):
                operator_legs = scenario.session.operator_legs
                rings = ((leg.employee_id or 0, leg.started_at if method == LEGS else None) for leg in operator_legs)
                yield RingEvidence(tuple(rings), is_sure=False)

    def _requests_with(self, scenario: CallScenario, method: str) -> list[RecordedRequest]:
        """Return the requests whose answer contained this call."""
        tenant, session = scenario.tenant, scenario.session
        return [
            request
            for request in self.reads.get(tenant.pbx.token, ())
            if request.method == method
            and session.is_shown(request.at)
            and _matches(request.params.get("filter"), session.session_id)
            and _is_in_period(request.params, session.started_at, ZoneInfo(tenant.pbx.timezone))
        ]


def _matches(condition: Any, session_id: int) -> bool:
    """Return whether a filter matches this session."""
    if condition is None:
        return True
    if "filters" in condition:
        return any(_matches(request, session_id) for request in condition["filters"])
    value = condition.get("value")
    return session_id in value if isinstance(value, list) else value == session_id


def _is_in_period(params: dict[str, Any], moment: datetime, zone: ZoneInfo) -> bool:
    local = moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    return str(params["date_from"]) <= local <= str(params["date_till"])
