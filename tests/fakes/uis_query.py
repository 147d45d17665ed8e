"""What all get.* methods have in common: fields, filter, sort and paging."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tests.fakes.uis_fields import Column, Columns
from tests.fakes.uis_jsonrpc import Param, Row, RpcError, check_params, check_type, json_type

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
    """Parse `YYYY-MM-DD hh:mm:ss`. Raises RpcError."""
    try:
        if not _DATE.fullmatch(text):
            raise ValueError(text)
        return datetime.fromisoformat(text)
    except ValueError:
        raise RpcError("invalid_parameter_value", name, text) from None


def select(rows: Iterable[Row], columns: Columns, params: Row, *, has_in: bool, turn: int) -> tuple[list[Row], int]:
    """Return the requested page, and the number of matching rows.

    Nothing says in which order rows with equal sort fields come: with each `turn` it is another one.
    """
    names = _parse_fields(params.get("fields", []), columns)
    limit = _parse_bound(params, "limit", default=1000, lowest=1, highest=10_000)
    offset = _parse_bound(params, "offset", default=0, lowest=0, highest=100_000)
    order = _parse_sort(params.get("sort", []), columns)
    test = _parse_filter(params["filter"], columns, has_in=has_in) if "filter" in params else _accept
    found = [row for row in rows if test(row)]
    if order and turn % 2:
        found.reverse()
    for name, is_descending in reversed(order):
        found.sort(key=_rank(name), reverse=is_descending)
    return [{name: row[name] for name in names} for row in found[offset : offset + limit]], len(found)


def _rank(name: str) -> Callable[[Row], tuple[bool, Any]]:
    """Sort empty values last, as PostgreSQL does."""
    return lambda row: (row[name] is None, 0 if row[name] is None else row[name])


def _accept(row: Row) -> bool:
    return True


def _parse_bound(params: Row, name: str, *, default: int, lowest: int, highest: int) -> int:
    value = params.get(name, default)
    if not isinstance(value, int) or not lowest <= value <= highest:
        raise RpcError("invalid_parameter_value", name, value)
    return value


def _parse_fields(names: list[Any], columns: Columns) -> list[str]:
    for name in names:
        check_type(name, kind="string", name="fields")
        _find(name, columns, "fields")
    return names or [column.name for column in columns.values() if "D" in column.marks]


def _find(name: str, columns: Columns, where: str) -> Column:
    if name not in columns:
        raise RpcError("unexpected_parameters", where, name)
    return columns[name]


def _parse_sort(wanted: list[Any], columns: Columns) -> list[tuple[str, bool]]:
    order = []
    for one in wanted:
        check_type(one, kind="object", name="sort")
        check_params(one, _SORT, "sort.")
        if "S" not in _find(one["field"], columns, "sort").marks:
            raise RpcError("sort_prohibited", "sort", one["field"])
        order.append((one["field"], one.get("order") == "desc"))
    return order


def _parse_filter(node: Any, columns: Columns, *, has_in: bool) -> Test:
    check_type(node, kind="object", name="filter")
    if "filters" in node or "condition" in node:
        check_params(node, _TREE, "filter.")
        tests = [_parse_filter(one, columns, has_in=has_in) for one in node["filters"]]
        together = all if node["condition"] == "and" else any
        return lambda row: together(test(row) for test in tests)
    return _parse_leaf(node, columns, has_in=has_in)


def _parse_leaf(leaf: Row, columns: Columns, *, has_in: bool) -> Test:
    check_params({name: value for name, value in leaf.items() if name != "value"}, _LEAF, "filter.")
    column = _find(leaf["field"], columns, "filter")
    if "F" not in column.marks:
        raise RpcError("filter_prohibited", "filter", column.name)
    operator_name, value = leaf["operator"], leaf.get("value")
    kinds, compare = _OPERATORS.get(operator_name, ((), _never))
    if column.kind not in kinds or (operator_name in {"in", "not_in"} and not has_in):
        raise RpcError("invalid_parameter_value", "filter.operator", operator_name)
    _check_value(value, column, operator_name)
    return lambda row: compare(row[column.name], value)


def _check_value(value: Any, column: Column, operator_name: str) -> None:
    if operator_name in {"is_null", "is_not_null"} or (operator_name in {"=", "!="} and value is None):
        return check_type(value, kind="null", name="filter.value")
    if operator_name in {"in", "not_in", "overlap", "not_overlap"}:
        check_type(value, kind="array", name="filter.value")
        for one in value:
            _check_one(one, column)
        return None
    if operator_name in {"regexp", "jsquery"}:
        return _check_pattern(value, operator_name)
    return _check_one(value, column)


def _check_one(value: Any, column: Column) -> None:
    check_type(value, kind=_JSON_KINDS.get(column.kind, "string"), name="filter.value")
    if column.kind == "date":
        parse_date(value, "filter.value")
    if column.values and value not in column.values and column.kind == "enum":
        raise RpcError("invalid_parameter_value", "filter.value", value)


def _check_pattern(value: Any, operator_name: str) -> None:
    check_type(value, kind="string", name="filter.value")
    try:
        is_valid = _JSQUERY.match(value) if operator_name == "jsquery" else re.compile(value)
    except re.error:
        is_valid = None
    if not is_valid:
        raise RpcError("invalid_parameter_value", "filter.value", value)


def _never(cell: Any, value: Any) -> bool:
    return False


def _not_null(compare: Compare) -> Compare:
    """Comparisons with an empty value are false."""
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
    """Compare one member of an object, or of any object of an array; no other jsquery is supported."""
    match = _JSQUERY.match(value)
    assert match is not None  # validated in _check_pattern
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

# operator -> the column types it applies to (section 5.1), and its implementation
_OPERATORS: dict[str, tuple[tuple[str, ...], Compare]] = {
    "=": (_PLAIN, operator.eq),
    "!=": (_PLAIN, operator.ne),
    **{sign: (_ORDERED, _not_null(_SIGNS[sign])) for sign in ("<", ">", "<=", ">=")},
    "like": (("string",), _not_null(_like)),
    "not_like": (("string",), _not_null(_negated(_like))),
    "ilike": (("string",), _not_null(_ilike)),
    "not_ilike": (("string",), _not_null(_negated(_ilike))),
    "regexp": (("string",), _not_null(_regexp)),
    "jsquery": (("object", "array", "strings"), _jsquery),
    "in": (_LISTED, _in),
    "not_in": (_LISTED, _negated(_in)),
    "overlap": (("strings",), _overlap),
    "not_overlap": (("strings",), _negated(_overlap)),
    "is_null": (_ANY, lambda cell, value: cell is None),
    "is_not_null": (_ANY, lambda cell, value: cell is not None),
}
