"""The facts of calls as rows keep them: what notifications said, what UIS answered, who the client's people are."""

from collections.abc import Collection
from dataclasses import dataclass

from telephony.models import Call, Notification
from telephony.story import Reading, Story, tell
from telephony.told import load
from telephony.uis import notifications
from telephony.uis.types import Heard, Said
from tenants.models import Employee, Tenant, TransferRules, VirtualNumber


def read(stored: Notification) -> Said:
    """Return what a stored notification says."""
    uis = stored.tenant.uis
    return notifications.read(
        stored.query, stored.body, event=stored.path_event, zone=uis.zone, is_russian=uis.is_russian
    )


def heard_of(tenant: Tenant, session_ids: Collection[int]) -> dict[int, list[Heard]]:
    """Return what notifications told of these calls. One query, however many calls."""
    heard: dict[int, list[Heard]] = {session_id: [] for session_id in session_ids}
    stored_ones = Notification.objects.filter(tenant=tenant, session_id__in=session_ids)
    for stored in stored_ones.only("tenant", "query", "body", "path_event"):
        stored.tenant = tenant
        said = read(stored)
        if isinstance(said, Heard) and said.session_id in heard:
            heard[said.session_id].append(said)
    return heard


def employee_of(tenant: Tenant, uis_id: int | None) -> Employee | None:
    """Return the employee with this UIS id."""
    return Employee.objects.filter(tenant=tenant, uis_id=uis_id).first() if uis_id else None


@dataclass(frozen=True)
class Staff:
    """The people and numbers of one client, by which a call's sides are known."""

    people: dict[int, Employee]
    numbers: frozenset[str]

    @classmethod
    def of(cls, tenant: Tenant) -> "Staff":
        """Read them: two queries."""
        people = {person.uis_id: person for person in Employee.objects.filter(tenant=tenant)}
        return cls(people, frozenset(VirtualNumber.objects.filter(tenant=tenant).values_list("number", flat=True)))

    @property
    def own(self) -> frozenset[str]:
        """Numbers no customer calls from: the client's own, and those of who works there."""
        at_work = (person for person in self.people.values() if not person.is_dismissed)
        return self.numbers.union(*(person.numbers for person in at_work))

    def owner_of(self, story: Story, rules: TransferRules) -> Employee | None:
        """Return whose call it is by the client's rule.

        Where the CRM is to name the manager of a missed call, the one whose phone rang last stands in.
        """
        if story.is_lost and rules.missed_owner == TransferRules.MissedOwner.NOBODY:
            return None
        known = self.people.get(story.owner_id or 0) or self._called_on(story.owner_number)
        maybe = (self.people[uis_id] for uis_id in story.maybe_ids if uis_id in self.people)
        return known or next(maybe, None)

    def _called_on(self, number: str) -> Employee | None:
        """Find who was called on a number typed into a scenario: UIS names no employee for such a leg."""
        having = [person for person in self.people.values() if number and number in person.numbers]
        return having[0] if len(having) == 1 else None


def story_of(call: Call, heard: Collection[Heard], *, staff: Staff | None = None, is_patient: bool = True) -> Story:
    """Return what all the facts of a call amount to."""
    own = staff.own if staff else frozenset()
    reading = Reading(owner=call.tenant.rules.owner, own=own, is_patient=is_patient and not call.is_collected)
    return tell(heard, load(call.told_by_uis), reading)
