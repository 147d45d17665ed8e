"""Loads the evidence of a call: notifications, the UIS snapshot and the staff directory."""

from collections.abc import Collection
from dataclasses import dataclass

from telephony.models import Call, Notification
from telephony.story import Reading, Story, tell
from telephony.told import load
from telephony.uis import notifications
from telephony.uis.types import Heard, Said
from tenants.models import Employee, Tenant, TransferRules, VirtualNumber


def read(stored: Notification) -> Said:
    uis = stored.tenant.uis
    return notifications.read(
        stored.query, stored.body, event=stored.path_event, zone=uis.zone, is_russian=uis.is_russian
    )


def heard_of(tenant: Tenant, session_ids: Collection[int]) -> dict[int, list[Heard]]:
    """Return the events of each session. One query for any number of sessions."""
    events: dict[int, list[Heard]] = {session_id: [] for session_id in session_ids}
    rows = Notification.objects.filter(tenant=tenant, session_id__in=session_ids)
    for stored in rows.only("tenant", "query", "body", "path_event"):
        stored.tenant = tenant
        event = read(stored)
        if isinstance(event, Heard) and event.session_id in events:
            events[event.session_id].append(event)
    return events


def employee_of(tenant: Tenant, uis_id: int | None) -> Employee | None:
    return Employee.objects.filter(tenant=tenant, uis_id=uis_id).first() if uis_id else None


@dataclass(frozen=True)
class Staff:
    """Employees and virtual numbers of one tenant, to identify the parties of a call."""

    people: dict[int, Employee]
    numbers: frozenset[str]

    @classmethod
    def of(cls, tenant: Tenant) -> "Staff":
        """Load the directory. Two queries."""
        people = {person.uis_id: person for person in Employee.objects.filter(tenant=tenant)}
        return cls(people, frozenset(VirtualNumber.objects.filter(tenant=tenant).values_list("number", flat=True)))

    @property
    def own(self) -> frozenset[str]:
        """Numbers that are never a customer's: virtual numbers and those of current employees."""
        current = (person for person in self.people.values() if not person.is_dismissed)
        return self.numbers.union(*(person.numbers for person in current))

    def owner_of(self, story: Story, rules: TransferRules) -> Employee | None:
        """Return the owner by the tenant's rule.

        Where the CRM is to name the manager of a missed call, this is the employee whose phone rang last.
        """
        if story.is_lost and rules.missed_owner == TransferRules.MissedOwner.NOBODY:
            return None
        known = self.people.get(story.owner_id or 0) or self._called_on(story.owner_number)
        candidates = (self.people[uis_id] for uis_id in story.maybe_ids if uis_id in self.people)
        return known or next(candidates, None)

    def _called_on(self, number: str) -> Employee | None:
        """Find the employee by a number typed into a scenario: UIS names no employee for such a leg."""
        matches = [person for person in self.people.values() if number and number in person.numbers]
        return matches[0] if len(matches) == 1 else None


def story_of(call: Call, events: Collection[Heard], *, staff: Staff | None = None, is_patient: bool = True) -> Story:
    own = staff.own if staff else frozenset()
    context = Reading(owner=call.tenant.rules.owner, own=own, is_patient=is_patient and not call.is_collected)
    return tell(events, load(call.told_by_uis), context)
