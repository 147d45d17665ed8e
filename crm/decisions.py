"""What loaders of stored decisions share: a decision, and what is read of its client once."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from typing import Any

from crm import call_facts, call_records
from telephony.calls.sources import StaffDirectory
from tenants import erased_numbers
from tenants.field_map.facts import Fact, Facts, Value
from tenants.field_map.targets import Record
from tenants.models import Employee, RuleVersion, Tenant, VirtualNumber
from tenants.replay import NOBODY, Outcome, Party, Version
from tenants.rules import Rules


class Status(StrEnum):
    """Whether a call, or a ring, can be replayed."""

    DECIDED = "DECIDED"
    OPEN = "OPEN"  # not decided yet
    GONE = "GONE"  # what it was decided by was deleted


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A stored decision: what it was made of, by which version, and what was sent."""

    pk: int
    status: Status = Status.DECIDED
    facts: Any = None  # CallFacts or RingFacts
    version: Version | None = None
    sent: Outcome | None = None
    unkept: tuple[str, ...] = ()  # fields that were sent, and are only in the CRM


class Loader:
    """Loads decisions of one client, and what all of them need: once."""

    def __init__(self, tenant: Tenant, draft: Version | None = None) -> None:
        """Also find the owners by the rules of a draft, if there is one."""
        self.tenant, self.draft = tenant, draft
        self._versions: dict[int, Version] = {}

    @cached_property
    def staff(self) -> StaffDirectory:
        return StaffDirectory.for_tenant(self.tenant)

    @cached_property
    def stores(self) -> dict[str, str]:
        return call_records.store_by_number(self.tenant.crm)

    @cached_property
    def static(self) -> dict[str, Facts]:
        """What is known of each virtual number."""
        rows = VirtualNumber.objects.filter(tenant=self.tenant).values_list("number", "attribution")
        return {number: call_facts.as_facts(stored) for number, stored in rows}

    @cached_property
    def salt(self) -> str:
        return erased_numbers.key_of(self.tenant.pk)

    def version(self, pk: int) -> Version:
        return self._versions[pk]

    def load_versions(self, pks: Iterable[int]) -> None:
        """Load the versions that are not known yet. One query at most."""
        if missing := {*pks} - self._versions.keys():
            rows = RuleVersion.objects.filter(tenant=self.tenant, pk__in=missing)
            self._versions |= {row.pk: Version(row.value, row.rule_set) for row in rows}

    def party(self, employee: Employee | None) -> Party:
        """Return an employee as the CRM knows them now."""
        if employee is None:
            return NOBODY
        code = self.tenant.crm.code_of(employee)
        return Party(employee=employee.uis_id, name=employee.full_name, code=code, user=employee.crm_user_id)


def known_then(
    record: Record, version: Version, known: Facts, stored: Mapping[str, Value], *, kept: Collection[Fact]
) -> dict[str, Value]:
    """Return the facts as they were known to a decision.

    What its field map has read was `stored` with it, and what it did not know then it must not know now. The rest is as
    known now: it is in columns that do not change (`kept`), or only a draft reads it.
    """
    field_map = version.rules.field_map
    read = field_map.needs(record) - {*kept} if field_map.rows else frozenset()
    return {fact: value for fact, value in known.items() if fact not in read} | dict(call_facts.as_facts(stored))


def draft_version(tenant: Tenant, rules: Rules) -> Version:
    """Return rules that are not published as they would decide."""
    return Version(rules, rules.rule_set(partial(erased_numbers.token, tenant.pk)))
