"""Loads the evidence of a call: notifications, the UIS snapshot and the staff directory."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, FilteredRelation, Q, TextField
from django.db.models.functions import Cast

from connector_project.core.compiled_queries import CompiledSelect
from connector_project.core.placeholders import Placeholders
from telephony.calls import stored_events
from telephony.calls.attribution import Origin, Told
from telephony.calls.evidence import load
from telephony.calls.resolution import CallResolution, resolve
from telephony.models import Call, Notification
from telephony.uis.types import CallEvent
from tenants.models import Employee, Tenant, VirtualNumber
from tenants.rules import MissedOwner, Rules
from tenants.transfer_rules import Filter

_stored: CompiledSelect[tuple[int | None, Any]] = CompiledSelect(
    lambda given: (
        Notification.objects.filter(
            tenant=given.integer("tenant"), session_id__in=given.integers("sessions"), parsed_event__isnull=False
        )
        .order_by()
        .values_list("session_id", "parsed_event")
    ),
    lists=["sessions"],
)
_employees: CompiledSelect[Employee] = CompiledSelect(
    lambda given: Employee.objects.filter(tenant=given.integer("tenant"))
)
_numbers: CompiledSelect[tuple[str, datetime | None, Any, datetime | None]] = CompiledSelect(
    lambda given: (
        VirtualNumber.objects.filter(tenant=given.integer("tenant"))
        .order_by()
        .values_list("number", "voice_mail_at", "attribution", "attribution_at")
    )
)
_READ_EVERY = timedelta(hours=1)  # the numbers: what is known of one may be that much older


def _find_parties(given: Placeholders) -> Any:
    wanted = Q(uis_id=given.integer("employee"))
    for quoted in given.texts("quoted"):
        wanted |= Q(is_dismissed=False, numbers_text__contains=quoted)
    is_one = Q(tenant__virtual_numbers__number__in=given.texts("numbers"))
    virtual = FilteredRelation("tenant__virtual_numbers", condition=is_one)
    staff = Employee.objects.alias(numbers_text=Cast("numbers", TextField()), virtual=virtual)
    return staff.filter(wanted, tenant=given.integer("tenant")).annotate(virtual_number=F("virtual__number"))


_parties: CompiledSelect[Any] = CompiledSelect(_find_parties, lists=["numbers", "quoted"])


def events_by_session(tenant: Tenant, session_ids: Collection[int]) -> dict[int, Sequence[CallEvent]]:
    """Return the processed events of each session. One query for any number of sessions.

    If an event cannot be read, those of its session raise when they are used: the other sessions are not to blame.
    """
    found: dict[int, list[Any]] = {session_id: [] for session_id in session_ids}
    for session_id, stored in _stored.fetch(tenant=tenant.pk, sessions=list(found)) if found else ():
        found[session_id or 0].append(stored)
    return {session_id: _load_events(stored) for session_id, stored in found.items()}


def _load_events(stored: Sequence[Any]) -> Sequence[CallEvent]:
    try:
        return [stored_events.load(one) for one in stored]
    except Exception as exc:  # noqa: BLE001 -- raised again where the events are used
        return _UnreadableEvents(exc)


class _UnreadableEvents(Sequence[CallEvent]):
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __len__(self) -> int:
        raise self._error

    def __getitem__(self, _index: Any) -> Any:
        raise self._error


def find_parties(tenant: Tenant, employee_id: int, numbers: Collection[str]) -> tuple[Employee | None, frozenset[str]]:
    """Return an employee, and which of these numbers are the tenant's own, as in `own_numbers`. One query."""
    quoted = [f'"{number}"' for number in numbers]
    rows = _parties.fetch(tenant=tenant.pk, employee=employee_id, numbers=list(numbers), quoted=quoted)
    own = {number for row in rows if not row.is_dismissed for number in row.numbers}
    own.update(row.virtual_number for row in rows if row.virtual_number)
    return next((row for row in rows if row.uis_id == employee_id), None), frozenset(own)


@dataclass(frozen=True)
class StaffDirectory:
    """Employees and virtual numbers of one tenant, to identify the parties of a call."""

    employees: dict[int, Employee]
    numbers: frozenset[str]
    voice_mails: Mapping[str, datetime]  # when the report last showed one, by virtual number
    static: Mapping[str, Told] = field(default_factory=dict)  # what is known of all calls to a virtual number

    @classmethod
    def for_tenant(cls, tenant: Tenant) -> "StaffDirectory":
        """Load the directory. Two queries."""
        employees = {employee.uis_id: employee for employee in _employees.fetch(tenant=tenant.pk)}
        numbers = _numbers.fetch(tenant=tenant.pk)
        voice_mails = {number: at for number, at, *_static in numbers if at is not None}
        static = {
            number: Told(origin=Origin.STATIC, values=known, at=at) for number, _mail_at, known, at in numbers if known
        }
        return cls(employees, frozenset(row[0] for row in numbers), voice_mails, static)

    @property
    def own_numbers(self) -> frozenset[str]:
        """Numbers that are never a customer's: virtual numbers and those of current employees."""
        current = (employee for employee in self.employees.values() if not employee.is_dismissed)
        return self.numbers.union(*(employee.numbers for employee in current))

    def owner_of(self, resolution: CallResolution, rules: Rules) -> Employee | None:
        """Return the owner by the tenant's rule.

        For a missed call whose manager the CRM will be asked for, this is the employee whose phone rang last.
        """
        if resolution.is_lost and rules.missed_owner == MissedOwner.NOBODY:
            return None
        known = self.employees.get(resolution.owner_id or 0) or self._called_on(resolution.owner_number)
        candidates = (self.employees[uis_id] for uis_id in resolution.candidate_ids if uis_id in self.employees)
        return known or next(candidates, None)

    def told_by_number(self, number: str, *, started_at: datetime) -> tuple[Told, ...]:
        """Return what is known of all calls to a virtual number, unless it belonged to no or another campaign then."""
        told = self.static.get(number)
        is_valid = told is not None and (told.at is None or told.at <= started_at + _READ_EVERY)
        return (told,) if told is not None and is_valid else ()

    def _called_on(self, number: str) -> Employee | None:
        """Find the employee by a number typed into a scenario: UIS names no employee for such a leg."""
        matches = [employee for employee in self.employees.values() if number and number in employee.numbers]
        return matches[0] if len(matches) == 1 else None


@dataclass(frozen=True)
class Sources:
    """What calls of one tenant are resolved by: their stored events, and the staff."""

    events: Mapping[int, Sequence[CallEvent]]
    staff: StaffDirectory

    @classmethod
    def load(cls, tenant: Tenant, session_ids: Collection[int]) -> "Sources":
        """Load the sources of some calls. Three queries for any number of them."""
        return cls(events_by_session(tenant, session_ids), StaffDirectory.for_tenant(tenant))

    def resolve(
        self, call: Call, *, rules: Rules | None = None, waits_for_legs: bool = True, is_asked: bool = False
    ) -> tuple[CallResolution, Employee | None]:
        """Resolve all evidence about a call; return the result, and the owner by the tenant's rules, or others."""
        applied = rules or call.tenant.rules
        resolution = resolve_call(
            call,
            self.events[call.session_id],
            rules=applied,
            own_numbers=self.staff.own_numbers,
            waits_for_legs=waits_for_legs,
            is_asked=is_asked,
        )
        static = self.staff.told_by_number(resolution.number, started_at=resolution.started_at or call.started_at)
        resolution = replace(resolution, told=(*static, *resolution.told))
        return resolution, self.staff.owner_of(resolution, applied)


def resolve_anew(call: Call, events: Iterable[CallEvent], *, own_numbers: Collection[str]) -> CallResolution:
    """Resolve a call as if its legs had not been accepted yet: the evidence may tell of more than they contain."""
    rules = call.tenant.rules
    return resolve(
        events, load(call.uis_snapshot), owner=rules.owner, reads=_fields_read(rules), own_numbers=own_numbers
    )


def resolve_call(
    call: Call,
    events: Iterable[CallEvent],
    *,
    rules: Rules | None = None,
    own_numbers: Collection[str] = (),
    waits_for_legs: bool = True,
    is_asked: bool = False,
) -> CallResolution:
    """Resolve a call; without `waits_for_legs` what legs there are will do, with `is_asked` what was notified."""
    rules = rules or call.tenant.rules
    return resolve(
        events,
        load(call.uis_snapshot),
        owner=rules.owner,
        reads=_fields_read(rules),
        own_numbers=own_numbers,
        waits_for_legs=waits_for_legs and not call.has_legs,
        is_asked=is_asked or call.has_legs,
    )


def _fields_read(rules: Rules) -> set[str]:
    """Return what a missed call is decided by: the CRM takes no call without a number, the store depends on ours."""
    return {"contact", "number"} | ({"employees"} if rules.employee_filter != Filter.ALL else set())
