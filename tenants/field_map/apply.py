"""Applies a field map to the facts of one call."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tenants.field_map.facts import Fact, Facts, shown
from tenants.field_map.rows import FieldMap, Row
from tenants.field_map.targets import TARGETS, Record, Target
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
    for target in _targets(record):
        name = target.code.partition(".")[2]
        for number, row in field_map.of(target):
            if not row.condition.holds(facts):
                continue
            kind = row.transformation.kind
            if kind in {Kind.LEAVE_OUT, Kind.LEAVE_THE_RECORD_OUT}:
                paths[name] = Path(row=number, fact=row.facts[0], form=kind)
                if kind == Kind.LEAVE_THE_RECORD_OUT:
                    return Applied(paths=paths, is_left_out=True)
                break
            if text := _text(row, facts, salt=salt):
                fact, values[name] = text[0], text[1][: target.longest]
                paths[name] = Path(row=number, fact=fact, form=kind)
                break
    return Applied(values=values, paths=paths)


def _text(row: Row, facts: Facts, *, salt: str) -> tuple[Fact, str] | None:
    for fact in row.facts:
        known = row.constant if fact == Fact.CONSTANT else facts.get(fact, "")
        if known in ("", ()):
            continue
        if text := row.transformation.apply(shown(known), salt=salt):
            return fact, text
    return None


_BY_RECORD = {record: [target for target in TARGETS.values() if target.record == record] for record in Record}


def _targets(record: Record) -> list[Target]:
    return _BY_RECORD[record]
