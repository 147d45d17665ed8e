"""The rows of a field map, as values and as stored JSON."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from tenants.field_map.conditions import ALWAYS, Condition, Subject, is_possible
from tenants.field_map.facts import Fact, Facts, Price, is_known_at_ring, price_of
from tenants.field_map.targets import TARGETS, Record, Target
from tenants.field_map.transformations import AS_IT_IS, Kind, Transformation

DEFAULT = 0  # the number of a target's default, which passes its one fact as it is and always holds
MOST_ROWS, MOST_ENTRIES, LONGEST_TEXT = 100, 500, 255
_KEYS = {"target", "facts", "form", "entries", "constant", "subject", "values"}


class Problem(StrEnum):
    """Why a row is refused."""

    NO_ROW = "NO_ROW"  # something else than a row, or unknown keys
    UNKNOWN_TARGET = "UNKNOWN_TARGET"
    UNKNOWN_FACT = "UNKNOWN_FACT"
    NO_FACT = "NO_FACT"
    FACT_NOT_OF_TARGET = "FACT_NOT_OF_TARGET"
    FACT_AFTER_RING = "FACT_AFTER_RING"
    UNKNOWN_FORM = "UNKNOWN_FORM"
    FORM_NOT_OF_TARGET = "FORM_NOT_OF_TARGET"
    NO_ENTRIES = "NO_ENTRIES"
    NO_CONSTANT = "NO_CONSTANT"
    BAD_CONDITION = "BAD_CONDITION"
    TOO_LONG = "TOO_LONG"
    SENDS_NOTHING = "SENDS_NOTHING"  # the phone is left out of every record


class FieldMapError(ValueError):
    """A map that cannot be used: `row` counts from 1, 0 means the whole."""

    def __init__(self, problem: Problem, *, row: int = 0, value: str = "") -> None:
        super().__init__(f"row {row}: {problem}: {value}" if row else f"{problem}: {value}")
        self.problem, self.row, self.value = problem, row, value


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: the first known of `facts`, in a form, fills the target if the condition holds."""

    target: str
    facts: tuple[Fact, ...]
    transformation: Transformation = AS_IT_IS
    condition: Condition = ALWAYS
    constant: str = ""

    @property
    def needs(self) -> frozenset[Fact]:
        """The facts that are read for it; one that is left out is not."""
        asked = {self.condition.fact} - {None}
        is_read = self.transformation.kind not in {Kind.LEAVE_OUT, Kind.LEAVE_THE_RECORD_OUT}
        return frozenset(asked | ({*self.facts} if is_read else set()))  # type: ignore[arg-type]

    def dump(self) -> dict[str, Any]:
        stored: dict[str, Any] = {"target": self.target, "facts": [fact.value for fact in self.facts]}
        if self.transformation.kind != Kind.PASS:
            stored["form"] = self.transformation.kind.value
        if self.transformation.entries:
            stored["entries"] = dict(self.transformation.entries)
        if self.constant:
            stored["constant"] = self.constant
        if self.condition.subject != Subject.ALWAYS:
            stored |= {"subject": self.condition.subject.value, "values": [*self.condition.values]}
        return stored


@dataclass(frozen=True)
class FieldMap:
    """The rows of one client in order of precedence. Without a row for a target its default holds."""

    rows: tuple[Row, ...] = ()

    @classmethod
    def parse(cls, stored: object) -> Self:
        """Return the map of stored JSON. Raises FieldMapError."""
        if not isinstance(stored, Sequence) or isinstance(stored, str) or len(stored) > MOST_ROWS:
            raise FieldMapError(Problem.NO_ROW)
        parsed = cls(tuple(_parse(row, number) for number, row in enumerate(stored, start=1)))
        if all(parsed.is_left_out(record) for record in Record):
            raise FieldMapError(Problem.SENDS_NOTHING)
        return parsed

    def dump(self) -> list[dict[str, Any]]:
        return [row.dump() for row in self.rows]

    def of(self, target: Target) -> Sequence[tuple[int, Row]]:
        """Return the rows of a target with their numbers; its default, as row 0, comes last."""
        return self._by_target[target.code]

    @functools.cached_property
    def _by_target(self) -> Mapping[str, Sequence[tuple[int, Row]]]:
        found: dict[str, list[tuple[int, Row]]] = {code: [] for code in TARGETS}
        for number, row in enumerate(self.rows, start=1):
            found[row.target].append((number, row))
        for code, target in TARGETS.items():
            if target.default:
                found[code].append((DEFAULT, Row(target=code, facts=(target.default,))))
        return found

    def is_left_out(self, record: Record) -> bool:
        """Return whether no record of this kind is ever sent: its phone is left out whatever the call."""
        for _number, row in self.of(TARGETS[f"{record}.phone"]):
            if row.transformation.kind == Kind.PASS:
                return False
            if row.condition == ALWAYS:
                return True
        return False

    def leaves_out(self, record: Record, facts: Facts) -> bool:
        """Return whether the record of a call is not sent; only what conditions ask about must be known."""
        phone = f"{record}.phone"
        deciding = (row for row in self.rows if row.target == phone and row.condition.holds(facts))
        first = next(deciding, None)
        return first is not None and first.transformation.kind == Kind.LEAVE_THE_RECORD_OUT

    @functools.cached_property
    def hashes(self) -> bool:
        """Whether a tenant's salt is needed."""
        return any(row.transformation.kind == Kind.HASH for row in self.rows)

    def needs(self, record: Record) -> frozenset[Fact]:
        """Return the facts that may be read for a record."""
        return self._needs[record]

    @functools.cached_property
    def _needs(self) -> Mapping[Record, frozenset[Fact]]:
        found: dict[Record, set[Fact]] = {record: set() for record in Record}
        for code, rows in self._by_target.items():
            found[TARGETS[code].record].update(fact for _number, row in rows for fact in row.needs)
        return {record: frozenset(facts) for record, facts in found.items()}

    def prices(self) -> frozenset[Price]:
        """Return what knowing all facts of the map costs."""
        return frozenset(price_of(fact) for record in Record for fact in self.needs(record))


def _parse(row: object, number: int) -> Row:
    refuse = functools.partial(_error, number)
    if not isinstance(row, Mapping):
        raise refuse(Problem.NO_ROW, row)
    if unknown := {*row} - _KEYS:
        raise refuse(Problem.NO_ROW, ", ".join(sorted(map(str, unknown))))
    if (target := TARGETS.get(str(row.get("target")))) is None:
        raise refuse(Problem.UNKNOWN_TARGET, row.get("target"))
    facts = tuple(_member(Fact, fact, refuse(Problem.UNKNOWN_FACT, fact)) for fact in _texts(row.get("facts")))
    _check_facts(target, facts, refuse)
    return Row(
        target=target.code,
        facts=facts,
        transformation=_transformation(row, target, refuse),
        condition=_condition(row, target, refuse),
        constant=_constant(row, facts, target, refuse),
    )


def _error(number: int, problem: Problem, value: object = "") -> FieldMapError:
    return FieldMapError(problem, row=number, value=str(value)[:LONGEST_TEXT])


Refuse = Callable[..., FieldMapError]


def _transformation(row: Mapping[str, Any], target: Target, refuse: Refuse) -> Transformation:
    kind = _member(Kind, row.get("form", Kind.PASS), refuse(Problem.UNKNOWN_FORM, row.get("form")))
    entries = row.get("entries", {})
    if kind not in target.forms:
        raise refuse(Problem.FORM_NOT_OF_TARGET, kind)
    if (kind == Kind.DICTIONARY) != bool(entries) or not _is_dictionary(entries):
        raise refuse(Problem.NO_ENTRIES)
    return Transformation(kind=kind, entries=dict(entries))


def _condition(row: Mapping[str, Any], target: Target, refuse: Refuse) -> Condition:
    problem = refuse(Problem.BAD_CONDITION, row.get("subject"))
    subject = _member(Subject, row.get("subject", Subject.ALWAYS), problem)
    condition = Condition(subject=subject, values=tuple(_texts(row.get("values"))))
    is_in_time = target.record != Record.POPUP or condition.fact is None or is_known_at_ring(condition.fact)
    if not is_possible(condition) or not is_in_time:
        raise problem
    return condition


def _constant(row: Mapping[str, Any], facts: Sequence[Fact], target: Target, refuse: Refuse) -> str:
    constant = row.get("constant", "")
    if not isinstance(constant, str) or (Fact.CONSTANT in facts) != bool(constant):
        raise refuse(Problem.NO_CONSTANT)
    if len(constant) > target.longest:
        raise refuse(Problem.TOO_LONG, constant)
    return constant


def _check_facts(target: Target, facts: Sequence[Fact], refuse: Refuse) -> None:
    if not facts:
        raise refuse(Problem.NO_FACT)
    for fact in facts:
        if not target.takes(fact):
            raise refuse(Problem.FACT_NOT_OF_TARGET, fact)
        if target.record == Record.POPUP and not is_known_at_ring(fact):
            raise refuse(Problem.FACT_AFTER_RING, fact)


def _member(kind: Any, value: object, error: FieldMapError) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise error from None


def _texts(value: object) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [str(one)[:LONGEST_TEXT] for one in value][:MOST_ENTRIES]


def _is_dictionary(entries: object) -> bool:
    return (
        isinstance(entries, Mapping)
        and len(entries) <= MOST_ENTRIES
        and all(isinstance(text, str) and 0 < len(text) <= LONGEST_TEXT for pair in entries.items() for text in pair)
    )
