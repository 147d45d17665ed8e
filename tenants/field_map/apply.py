"""Applies a field map to the facts of one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tenants.field_map.facts import Fact, Facts, shown
from tenants.field_map.rows import DEFAULT, FieldMap, Row
from tenants.field_map.targets import TARGETS, Record
from tenants.field_map.transformations import Kind


@dataclass(frozen=True, kw_only=True)
class Path:
    """How a field came by its value, or why it has none: `row` is 0 for the default."""

    row: int
    fact: Fact | None
    form: Kind


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The fields of one record by their names without the record's; `is_left_out`: nothing is to be sent."""

    values: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, Path] = field(default_factory=dict)
    is_left_out: bool = False


def applied(field_map: FieldMap, record: Record, facts: Facts, *, salt: str) -> Applied:
    """Return the fields of a record. The first row of a target that holds and has a known fact decides."""
    values: dict[str, str] = {}
    paths: dict[str, Path] = {}
    for name, target in _BY_RECORD[record]:
        found = _of_target(field_map.of(target), facts, salt=salt)
        if found is None:
            continue
        paths[name], value = found
        if paths[name].form == Kind.LEAVE_THE_RECORD_OUT:
            return Applied(paths=paths, is_left_out=True)
        if value:
            values[name] = value[: target.longest]
    return Applied(values=values, paths=paths)


def _of_target(rows: Sequence[tuple[int, Row]], facts: Facts, *, salt: str) -> tuple[Path, str] | None:
    """Return how a field is filled, and with what; "" if it is left out. None: no row has a known fact."""
    for number, row in rows:
        if number == DEFAULT:
            fact = row.facts[0]
            return (Path(row=DEFAULT, fact=fact, form=Kind.PASS), str(facts[fact])) if fact in facts else None
        if not row.condition.holds(facts):
            continue
        kind = row.transformation.kind
        if kind in {Kind.LEAVE_OUT, Kind.LEAVE_THE_RECORD_OUT}:
            return Path(row=number, fact=row.facts[0], form=kind), ""
        if found := _text(row, facts, salt=salt):
            return Path(row=number, fact=found[0], form=kind), found[1]
    return None


def _text(row: Row, facts: Facts, *, salt: str) -> tuple[Fact, str] | None:
    for fact in row.facts:
        known = row.constant if fact == Fact.CONSTANT else facts.get(fact, "")
        if known in ("", ()):
            continue
        if text := row.transformation.apply(shown(known), salt=salt):
            return fact, text
    return None


_BY_RECORD = {
    record: [(code.partition(".")[2], target) for code, target in TARGETS.items() if target.record == record]
    for record in Record
}
