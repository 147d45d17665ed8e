"""What every get.* method has in common: fields, filter, sort and paging, refused or carried out."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tests.fakes.uis_fields import Column, Columns
from tests.fakes.uis_jsonrpc import Param, Refusal, Row, check_params, check_type, json_type

LISTING = {
    "limit": Param("number"),
    "offset": Param("number"),
    "filter": Param("object"),
    "fields": Param("array"),
    "sort": Param("array"),
}
_LEAF = {"field": Param("string", is_required=True), "operator": Param("string", is_required=True)}
_TREE = {"filters": Param("array", is_required=True), "condition": Param("string", True, values=("and", "or"))}
_SORT = {"field": Param("string", is_required=True), "order": Param("string", values=("asc", "desc"))}
_JSON_KINDS = {"number": "number", "boolean": "boolean"}
_JSQUERY = re.compile(r'^\s*(?:[#*$]\.)?([a-z_]+)\s*(=|<|>|<=|>=)\s*("[^"]*"|-?\d+|true|false|null)\s*$')
_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_LITERALS: dict[str, object] = {"true": True, "false": False, "null": None}

Test = Callable[[Row], bool]
Compare = Callable[[Any, Any], bool]


def parse_date(text: str, name: str) -> datetime:
    """Read `YYYY-MM-DD hh:mm:ss`, refuse any other form."""
    try:
        if not _DATE.fullmatch(text):
            raise ValueError(text)
        return datetime.fromisoformat(text)
    except ValueError:
        raise Refusal("invalid_parameter_value", name, text) from None


def select(rows: Iterable[Row], columns: Columns, params: Row, *, has_in: bool) -> tuple[list[Row], int]:
    """Return the page that was asked for, and how many rows match in all."""
    names = _read_fields(params.get("fields", []), columns)
    limit = _read_bound(params, "limit", default=1000, lowest=1, highest=10_000)
    offset = _read_bound(params, "offset", default=0, lowest=0, highest=100_000)
    order = _read_sort(params.get("sort", []), columns)
    test = _read_filter(params["filter"], columns, has_in=has_in) if "filter" in params else _accept
    found = [row for row in rows if test(row)]
    for name, is_descending in reversed(order):
        found.sort(key=_rank(name), reverse=is_descending)
    return [{name: row[name] for name in names} for row in found[offset : offset + limit]], len(found)


def _rank(name: str) -> Callable[[Row], tuple[bool, Any]]:
    """Sort empty values after all others, as PostgreSQL does."""
    return lambda row: (row[name] is None, 0 if row[name] is None else row[name])


def _accept(row: Row) -> bool:
    return True


def _read_bound(params: Row, name: str, *, default: int, lowest: int, highest: int) -> int:
    value = params.get(name, default)
    if not isinstance(value, int) or not lowest <= value <= highest:
        raise Refusal("invalid_parameter_value", name, value)
    return value


def _read_fields(names: list[Any], columns: Columns) -> list[str]:
    for name in names:
        check_type(name, kind="string", name="fields")
        _find(name, columns, "fields")
    return names or [column.name for column in columns.values() if "D" in column.marks]


def _find(name: str, columns: Columns, where: str) -> Column:
    if name not in columns:
        raise Refusal("unexpected_parameters", where, name)
    return columns[name]


def _read_sort(wanted: list[Any], columns: Columns) -> list[tuple[str, bool]]:
    order = []
    for one in wanted:
        check_type(one, kind="object", name="sort")
        check_params(one, _SORT, "sort.")
        if "S" not in _find(one["field"], columns, "sort").marks:
            raise Refusal("sort_prohibited", "sort", one["field"])
        order.append((one["field"], one.get("order") == "desc"))
    return order


def _read_filter(node: Any, columns: Columns, *, has_in: bool) -> Test:
    check_type(node, kind="object", name="filter")
    if "filters" in node or "condition" in node:
        check_params(node, _TREE, "filter.")
        tests = [_read_filter(one, columns, has_in=has_in) for one in node["filters"]]
        together = all if node["condition"] == "and" else any
        return lambda row: together(test(row) for test in tests)
    return _read_leaf(node, columns, has_in=has_in)


def _read_leaf(leaf: Row, columns: Columns, *, has_in: bool) -> Test:
    check_params({name: value for name, value in leaf.items() if name != "value"}, _LEAF, "filter.")
    column = _find(leaf["field"], columns, "filter")
    if "F" not in column.marks:
        raise Refusal("filter_prohibited", "filter", column.name)
    word, value = leaf["operator"], leaf.get("value")
    kinds, compare = _OPERATORS.get(word, ((), _never))
    if column.kind not in kinds or (word in {"in", "not_in"} and not has_in):
        raise Refusal("invalid_parameter_value", "filter.operator", word)
    _check_value(value, column, word)
    return lambda row: compare(row[column.name], value)


def _check_value(value: Any, column: Column, word: str) -> None:
    if word in {"is_null", "is_not_null"} or (word in {"=", "!="} and value is None):
        return check_type(value, kind="null", name="filter.value")
    if word in {"in", "not_in", "overlap", "not_overlap"}:
        check_type(value, kind="array", name="filter.value")
        for one in value:
            _check_one(one, column)
        return None
    if word in {"regexp", "jsquery"}:
        return _check_pattern(value, word)
    return _check_one(value, column)


def _check_one(value: Any, column: Column) -> None:
    check_type(value, kind=_JSON_KINDS.get(column.kind, "string"), name="filter.value")
    if column.kind == "date":
        parse_date(value, "filter.value")
    if column.values and value not in column.values and column.kind == "enum":
        raise Refusal("invalid_parameter_value", "filter.value", value)


def _check_pattern(value: Any, word: str) -> None:
    check_type(value, kind="string", name="filter.value")
    try:
        is_readable = _JSQUERY.match(value) if word == "jsquery" else re.compile(value)
    except re.error:
        is_readable = None
    if not is_readable:
        raise Refusal("invalid_parameter_value", "filter.value", value)


def _never(cell: Any, value: Any) -> bool:
    return False


def _known(compare: Compare) -> Compare:
    """Nothing is less than, more than or like an empty value."""
    return lambda cell, value: cell is not None and compare(cell, value)


def _negated(compare: Compare) -> Compare:
    return lambda cell, value: not compare(cell, value)


def _like(cell: str, value: str) -> bool:
    return re.fullmatch(re.escape(value).replace("%", ".*").replace("_", "."), cell, re.DOTALL) is not None


def _ilike(cell: str, value: str) -> bool:
    return _like(cell.lower(), value.lower())


def _regexp(cell: str, value: str) -> bool:
    return re.search(value, cell) is not None


def _in(cell: Any, value: list[Any]) -> bool:
    return cell in value


def _overlap(cell: list[str], value: list[str]) -> bool:
    return bool(set(cell) & set(value))


def _jsquery(cell: Any, value: str) -> bool:
    """Compare one member of an object, or of any object of an array; the only jsquery the fake speaks."""
    match = _JSQUERY.match(value)
    assert match is not None  # refused before
    name, sign, text = match.groups()
    wanted = text[1:-1] if text.startswith('"') else _LITERALS.get(text, text)
    wanted = int(text) if re.fullmatch(r"-?\d+", text) else wanted
    objects = [one for one in (cell if isinstance(cell, list) else [cell]) if isinstance(one, dict) and name in one]
    same = [one[name] for one in objects if json_type(one[name]) == json_type(wanted)]
    return any(_SIGNS[sign](one, wanted) for one in same)


_SIGNS: dict[str, Compare] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_PLAIN = ("number", "string", "boolean", "date", "enum")
_ORDERED = ("number", "date")
_LISTED = ("number", "string", "enum")
_ANY = (*_PLAIN, "object", "array", "strings")

# word -> kinds of columns it is for (section 5.1), and what it does
_OPERATORS: dict[str, tuple[tuple[str, ...], Compare]] = {
    "=": (_PLAIN, operator.eq),
    "!=": (_PLAIN, operator.ne),
    **{sign: (_ORDERED, _known(_SIGNS[sign])) for sign in ("<", ">", "<=", ">=")},
    "like": (("string",), _known(_like)),
    "not_like": (("string",), _known(_negated(_like))),
    "ilike": (("string",), _known(_ilike)),
    "not_ilike": (("string",), _known(_negated(_ilike))),
    "regexp": (("string",), _known(_regexp)),
    "jsquery": (("object", "array", "strings"), _jsquery),
    "in": (_LISTED, _in),
    "not_in": (_LISTED, _negated(_in)),
    "overlap": (("strings",), _overlap),
    "not_overlap": (("strings",), _negated(_overlap)),
    "is_null": (_ANY, lambda cell, value: cell is None),
    "is_not_null": (_ANY, lambda cell, value: cell is not None),
}
