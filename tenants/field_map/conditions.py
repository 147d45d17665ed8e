"""When a row of a field map holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tenants.field_map.facts import Fact, Facts, shown


class Subject(StrEnum):
    """What a condition asks about."""

    ALWAYS = "always"
    DIRECTION = "direction"
    OUTCOME = "outcome"
    NUMBER = "number"
    SOURCE = "source"
    CUSTOMER = "customer"


_FACTS: Mapping[Subject, Fact] = {
    Subject.DIRECTION: Fact.DIRECTION,
    Subject.OUTCOME: Fact.OUTCOME,
    Subject.NUMBER: Fact.NUMBER,
    Subject.SOURCE: Fact.SOURCE,
    Subject.CUSTOMER: Fact.CUSTOMER,
}
# The values a person may choose; None: any text.
VALUES: Mapping[Subject, tuple[str, ...] | None] = {
    Subject.ALWAYS: (),
    Subject.DIRECTION: ("in", "out"),
    Subject.OUTCOME: ("answered", "missed"),
    Subject.NUMBER: None,
    Subject.SOURCE: None,
    Subject.CUSTOMER: ("known", "new"),
}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Holds if the fact is one of `values`, numbers without plus; a fact that is not known is none of them."""

    subject: Subject = Subject.ALWAYS
    values: tuple[str, ...] = ()

    def holds(self, facts: Facts) -> bool:
        if self.subject == Subject.ALWAYS:
            return True
        known = facts.get(_FACTS[self.subject])
        return known is not None and shown(known).lstrip("+") in self.values

    @property
    def fact(self) -> Fact | None:
        """The fact that must be known for it."""
        return _FACTS.get(self.subject)


ALWAYS = Condition()


def is_possible(condition: Condition) -> bool:
    """Return whether the condition names values, and only those that its subject can have."""
    allowed = VALUES[condition.subject]
    if condition.subject == Subject.ALWAYS:
        return not condition.values
    return bool(condition.values) and (allowed is None or set(condition.values) <= set(allowed))
