"""Whom a client still owes a talk: his missed callers, read out of his calls each time anew, so that nothing drifts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from telephony import days, missed, outcomes
from telephony.facts import Staff
from telephony.missed import NOBODY, Miss, Talk, Wait
from telephony.models import Attempt, Call, Direction, Result, State, Step
from tenants.models import Employee, Tenant
from tenants.transfer import BY_LIST, CallFacts, Choices

LOOKED_BACK = 90  # local days, today among them; what was before is not looked at
MOST = 10_000  # missed calls, the newest; a client who never calls back has no end of them
EMPLOYEE, USER = "employee-", "user-"  # what an owner's name begins with; then comes our key, or the CRM's id
LONGEST_TALK = timedelta(days=1)  # a talk that ended today did not begin before yesterday

_TALKS = Call.objects.filter(outcomes.TALKED, is_internal=False)
# What settles is not decided; whom UIS turned away on purpose nobody missed, and the client's lists name others.
_MISSES = Call.objects.filter(outcomes.MISSED, is_internal=False).exclude(
    Q(state=State.SETTLING) | Q(result=Result.NOT_ALLOWED) | Q(kept_back_by__in=BY_LIST)
)
# The call was uploaded as missed, and only then UIS told of its talk.
_TALKED_AFTER_ALL = Exists(Attempt.objects.filter(call=OuterRef("pk"), step=Step.LATE))
_TIMES = ("contact", "started_at", "wait_seconds", "ended_at")
_TOLD = (*_TIMES, "pk", "number", "rung_ids", "employee_id", "employee__uis_id", "crm_user_id")


@dataclass(frozen=True, kw_only=True)
class Board:
    """Who waits, and who waited until today."""

    open: list[Wait]  # the longest first
    over_today: list[Wait]
    hidden: list[datetime]  # when somebody called in vain who hid his number: nobody can call him back
    people: Mapping[str, Employee]  # the employees among the owners
    is_cut: bool  # there are more missed calls than anybody looks through


class _Reader:
    """Reads the calls of one client, as his lists and people are now."""

    def __init__(self, tenant: Tenant, *, now: datetime) -> None:
        today = days.day_of(now, zone=tenant.zone)
        self.tenant = tenant
        self.since = days.begin(today - (LOOKED_BACK - 1) * days.DAY, zone=tenant.zone)
        self.midnight = days.begin(today, zone=tenant.zone)
        self.staff = Staff.of(tenant)
        self.choices: Choices = tenant.rules.choices()
        people = self.staff.people.values()
        self.by_user = {person.crm_user_id: person for person in people if person.crm_user_id}

    def of_client(self, calls: QuerySet[Call]) -> QuerySet[Call]:
        return calls.filter(tenant=self.tenant, started_at__gte=self.since).order_by("-started_at", "-pk")

    def open(self) -> list[dict[str, Any]]:
        """Return the misses after which nobody talked, the newest; and the talks among them that were told late."""
        alone = self.of_client(_MISSES).exclude(contact="").filter(~Exists(self._later()))
        return list(alone.annotate(is_late=_TALKED_AFTER_ALL).values(*_TOLD, "is_late")[:MOST])

    def talks_of_today(self) -> list[dict[str, Any]]:
        return list(self._talked_today().values(*_TIMES))

    def open_until_today(self) -> list[dict[str, Any]]:
        """Return the misses of those who were talked to today, and between the miss and this day were not."""
        before = self._later().filter(ended_at__lt=self.midnight)
        talked = self._talked_today().values("contact").distinct()
        return list(self.of_client(_MISSES).filter(~Exists(before), contact__in=talked).values(*_TOLD))

    def hidden(self) -> list[dict[str, Any]]:
        return list(self.of_client(_MISSES).filter(contact="").values(*_TOLD)[:MOST])

    def is_ours(self, row: Mapping[str, Any]) -> bool:
        """Whether the number is a customer's, whose calls no list of the client leaves out now."""
        people = (row["employee__uis_id"],) if row["employee_id"] else tuple(row["rung_ids"])
        told = CallFacts(
            direction=Direction.IN,
            is_answered=False,
            is_internal=False,
            contact=row["contact"],
            number=row["number"],
            employees=people,
        )
        return row["contact"] not in self.staff.own and self.choices.left_out_by(told) is None

    def miss(self, row: Mapping[str, Any]) -> Miss:
        return Miss(contact=row["contact"], at=row["started_at"], call=row["pk"], owner=self._owner(row))

    def is_at_work(self, moment: datetime) -> bool:
        return self.tenant.work.holds(moment, zone=self.tenant.zone)

    def _later(self) -> QuerySet[Call]:
        """Return the talks that end the wait of the miss a query is about, as `missed.waits` has it."""
        of_caller = _TALKS.filter(tenant=self.tenant, contact=OuterRef("contact"))
        return of_caller.filter(ended_at__gt=OuterRef("started_at")).order_by()

    def _talked_today(self) -> QuerySet[Call]:
        lately = _TALKS.filter(tenant=self.tenant, started_at__gte=self.midnight - LONGEST_TALK)
        return lately.filter(ended_at__gte=self.midnight).exclude(contact="").order_by()

    def _owner(self, row: Mapping[str, Any]) -> str:
        """Return whose the call is: the manager the CRM named, if it named one, as he stands in the history there."""
        user_id = row["crm_user_id"]
        if user_id and user_id not in self.by_user:
            return f"{USER}{user_id}"
        employee_id = self.by_user[user_id].pk if user_id else row["employee_id"]
        return f"{EMPLOYEE}{employee_id}" if employee_id else NOBODY


def look(tenant: Tenant, *, now: datetime) -> Board:
    """Return who waits. Seven queries, and one for each list of the client's that picks numbers or people."""
    reader = _Reader(tenant, now=now)
    found = reader.open()
    late = [_talk(row) for row in found if row["is_late"]]
    misses = [reader.miss(row) for row in found if not row["is_late"] and reader.is_ours(row)]
    over = missed.waits(
        [reader.miss(row) for row in reader.open_until_today() if reader.is_ours(row)],
        [_talk(row) for row in reader.talks_of_today()],
        is_at_work=reader.is_at_work,
    )
    return Board(
        open=[wait for wait in missed.waits(misses, late, is_at_work=reader.is_at_work) if wait.is_open],
        over_today=[wait for wait in over if wait.over_at and wait.over_at >= reader.midnight],
        hidden=[row["started_at"] for row in reader.hidden() if reader.is_ours(row)],
        people={f"{EMPLOYEE}{person.pk}": person for person in reader.staff.people.values()},
        is_cut=len(found) == MOST,
    )


def called_back(tenant: Tenant, waits: Collection[Wait]) -> dict[str, list[datetime]]:
    """Return when each of these callers was called back in vain since his first miss, the last one last. One query."""
    since = {wait.contact: wait.first_at for wait in waits}
    tries: dict[str, list[datetime]] = {contact: [] for contact in since}
    calls = Call.objects.filter(outcomes.NOT_REACHED, tenant=tenant, is_internal=False, contact__in=since)
    told = calls.filter(started_at__gte=min(since.values())) if since else calls.none()
    for contact, at in told.order_by("started_at").values_list("contact", "started_at"):
        if at >= since[contact]:
            tries[contact].append(at)
    return tries


def _talk(row: Mapping[str, Any]) -> Talk:
    began_at = row["started_at"] + timedelta(seconds=row["wait_seconds"])
    return Talk(contact=row["contact"], began_at=began_at, ended_at=row["ended_at"])
