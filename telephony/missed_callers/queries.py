"""The board of one tenant's missed callers, computed from the calls on each request so that it cannot drift."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from connector_project.core import local_dates
from telephony.calls import outcomes
from telephony.calls.sources import StaffDirectory
from telephony.missed_callers import waits
from telephony.missed_callers.waits import UNASSIGNED_OWNER, MissedCall, MissedCaller, Talk
from telephony.models import Call, CallLogEntry, Direction, Result, State, Step
from tenants.models import Employee, Tenant
from tenants.transfer_rules import LIST_REASONS, RuleInput, RuleSet

LOOKBACK = 90  # local days including today; older calls are ignored
MAX_MISSED_CALLS = 10_000  # newest missed calls; bounds the work for a tenant that never calls back
EMPLOYEE, USER = "employee-", "user-"  # prefixes of an owner, followed by our primary key or the CRM's user id
LONGEST_TALK = timedelta(days=1)  # a talk that ended today began yesterday at the earliest

_TALKS = Call.objects.filter(outcomes.TALKED, is_internal=False)
# Exclude undecided calls, callers that UIS blocks on purpose, and calls skipped by the tenant's lists.
_MISSES = (
    Call.objects.missed()
    .filter(is_internal=False)
    .exclude(Q(state=State.DEBOUNCING) | Q(result=Result.NOT_ALLOWED) | Q(skip_reason__in=LIST_REASONS))
)
# UIS reported the talk only after the call was uploaded as missed.
_HAS_LATE_ANSWER = Exists(CallLogEntry.objects.filter(call=OuterRef("pk"), step=Step.LATE_ANSWER))
_TIMES = ("contact", "started_at", "wait_seconds", "ended_at")
_COLUMNS = (*_TIMES, "pk", "number", "rung_employee_ids", "employee_id", "employee__uis_id", "crm_user_id")


@dataclass(frozen=True, kw_only=True)
class MissedCallerBoard:
    """Missed callers that are open, and those closed today."""

    waiting: list[MissedCaller]  # longest waiting first
    closed_today: list[MissedCaller]
    hidden: list[datetime]  # times of missed calls with a hidden number: nobody can call back
    employees: Mapping[str, Employee]  # employees among the owners
    is_truncated: bool  # there were more missed calls than the limit


class _Reader:
    """Queries the calls of one tenant, with the tenant's current lists and staff."""

    def __init__(self, tenant: Tenant, *, now: datetime) -> None:
        today = local_dates.day_of(now, zone=tenant.zone)
        self.tenant = tenant
        self.since = local_dates.begin(today - (LOOKBACK - 1) * local_dates.DAY, zone=tenant.zone)
        self.midnight = local_dates.begin(today, zone=tenant.zone)
        self.staff = StaffDirectory.for_tenant(tenant)
        self.choices: RuleSet = tenant.rule_set
        employees = self.staff.employees.values()
        self.by_user = {employee.crm_user_id: employee for employee in employees if employee.crm_user_id}

    def of_client(self, calls: QuerySet[Call]) -> QuerySet[Call]:
        return calls.filter(tenant=self.tenant, started_at__gte=self.since).order_by("-started_at", "-pk")

    def waiting(self) -> list[dict[str, Any]]:
        """Return missed calls without a later talk, newest first; with `is_late` their talk was reported late."""
        unanswered = self.of_client(_MISSES).exclude(contact="").filter(~Exists(self._later()))
        return list(unanswered.annotate(is_late=_HAS_LATE_ANSWER).values(*_COLUMNS, "is_late")[:MAX_MISSED_CALLS])

    def talks_of_today(self) -> list[dict[str, Any]]:
        return list(self._talked_today().values(*_TIMES))

    def open_until_today(self) -> list[dict[str, Any]]:
        """Return missed calls of contacts whose first talk since then was today."""
        before = self._later().filter(ended_at__lt=self.midnight)
        talked = self._talked_today().values("contact").distinct()
        return list(self.of_client(_MISSES).filter(~Exists(before), contact__in=talked).values(*_COLUMNS))

    def hidden(self) -> list[dict[str, Any]]:
        return list(self.of_client(_MISSES).filter(contact="").values(*_COLUMNS)[:MAX_MISSED_CALLS])

    def is_ours(self, row: Mapping[str, Any]) -> bool:
        """Whether the number is a customer's and none of the tenant's current lists skips the call."""
        employee_ids = (row["employee__uis_id"],) if row["employee_id"] else tuple(row["rung_employee_ids"])
        rule_input = RuleInput(
            direction=Direction.IN,
            is_answered=False,
            is_internal=False,
            contact=row["contact"],
            number=row["number"],
            employees=employee_ids,
        )
        return row["contact"] not in self.staff.own_numbers and self.choices.list_skip_reason(rule_input) is None

    def miss(self, row: Mapping[str, Any]) -> MissedCall:
        return MissedCall(contact=row["contact"], at=row["started_at"], call=row["pk"], owner=self._owner(row))

    def is_at_work(self, moment: datetime) -> bool:
        return self.tenant.business_hours.contains(moment, zone=self.tenant.zone)

    def _later(self) -> QuerySet[Call]:
        """Return the talks that close the missed call of the outer query, by the same rule as `waits`."""
        of_caller = _TALKS.filter(tenant=self.tenant, contact=OuterRef("contact"))
        return of_caller.filter(ended_at__gt=OuterRef("started_at")).order_by()

    def _talked_today(self) -> QuerySet[Call]:
        recent = _TALKS.filter(tenant=self.tenant, started_at__gte=self.midnight - LONGEST_TALK)
        return recent.filter(ended_at__gte=self.midnight).exclude(contact="").order_by()

    def _owner(self, row: Mapping[str, Any]) -> str:
        """Return the owner: the manager named by the CRM, else the employee."""
        user_id = row["crm_user_id"]
        if user_id and user_id not in self.by_user:
            return f"{USER}{user_id}"
        employee_id = self.by_user[user_id].pk if user_id else row["employee_id"]
        return f"{EMPLOYEE}{employee_id}" if employee_id else UNASSIGNED_OWNER


def load_board(tenant: Tenant, *, now: datetime) -> MissedCallerBoard:
    """Load the board. Seven queries, plus one for each of the tenant's lists of numbers or employees."""
    reader = _Reader(tenant, now=now)
    found = reader.waiting()
    late = [_talk(row) for row in found if row["is_late"]]
    misses = [reader.miss(row) for row in found if not row["is_late"] and reader.is_ours(row)]
    closed = waits.group_waits(
        [reader.miss(row) for row in reader.open_until_today() if reader.is_ours(row)],
        [_talk(row) for row in reader.talks_of_today()],
        is_at_work=reader.is_at_work,
    )
    return MissedCallerBoard(
        waiting=[wait for wait in waits.group_waits(misses, late, is_at_work=reader.is_at_work) if wait.is_open],
        closed_today=[wait for wait in closed if wait.answered_at and wait.answered_at >= reader.midnight],
        hidden=[row["started_at"] for row in reader.hidden() if reader.is_ours(row)],
        employees={f"{EMPLOYEE}{person.pk}": person for person in reader.staff.employees.values()},
        is_truncated=len(found) == MAX_MISSED_CALLS,
    )


def callback_attempts(tenant: Tenant, waits: Collection[MissedCaller]) -> dict[str, list[datetime]]:
    """Return each caller's unanswered callback attempts since their first missed call, oldest first. One query."""
    since = {wait.contact: wait.first_at for wait in waits}
    attempts: dict[str, list[datetime]] = {contact: [] for contact in since}
    calls = Call.objects.filter(outcomes.NOT_REACHED, tenant=tenant, is_internal=False, contact__in=since)
    candidates = calls.filter(started_at__gte=min(since.values())) if since else calls.none()
    for contact, at in candidates.order_by("started_at").values_list("contact", "started_at"):
        if at >= since[contact]:
            attempts[contact].append(at)
    return attempts


def _talk(row: Mapping[str, Any]) -> Talk:
    started_at = row["started_at"] + timedelta(seconds=row["wait_seconds"])
    return Talk(contact=row["contact"], started_at=started_at, ended_at=row["ended_at"])
