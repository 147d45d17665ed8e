"""Rules about the source: a query by what is unique within a tenant names the tenant; patterns escape data."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    file
    for package in ("connector_project", "tenants", "telephony", "crm")
    for file in (ROOT / package).rglob("*.py")
    if "migrations" not in file.parts
)
# Two tenants may have the same values in these; NULL is the same for all.
WITHIN_TENANT = {"employee", "session_id", "uis_id", "crm_id", "crm_user_id", "extension", "contact", "number"}
METHODS = {"filter", "exclude", "get", "get_or_create", "update_or_create"}
# What the condition, or the queryset that it narrows, must contain.
TENANT = ("tenant", "of_client(", "visible_to(", "pk=")


def conditions(call: ast.Call) -> set[str]:
    """Return the fields of the conditions of a query."""
    inner = (one for one in ast.walk(call) if isinstance(one, ast.Call))
    names = {keyword.arg or "" for one in inner for keyword in one.keywords}
    return {name.partition("__")[0].removesuffix("_id") if name != "session_id" else name for name in names}


def root_name(node: ast.expr) -> str:
    """Return the variable at the beginning of a chain; "" for anything else."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def unscoped(tree: ast.AST) -> Iterator[str]:
    """Yield the queries of each function that name no tenant, neither themselves nor in what they begin with."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        assigned = {
            target.id: ast.unparse(node.value)
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for statement in (node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function):
            for call in (node for node in ast.walk(statement) if isinstance(node, ast.Call)):
                is_query = isinstance(call.func, ast.Attribute) and call.func.attr in METHODS
                if not is_query or not conditions(call) & WITHIN_TENANT:
                    continue
                text = ast.unparse(statement) + assigned.get(root_name(call), "")
                if not any(word in text for word in TENANT):
                    yield f"{function.name}: {ast.unparse(call)[:120]}"


def data_patterns(tree: ast.AST) -> Iterator[str]:
    """Yield the patterns that are built from anything but constants, without an escape."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        is_of_re = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "re" and call.args
        if is_of_re and call.func.attr != "escape":  # type: ignore[union-attr]
            pattern = ast.unparse(call.args[0]).replace("{tenant.pk}", "")  # a number
            names = [node.id for node in ast.walk(ast.parse(pattern)) if isinstance(node, ast.Name)]
            if "escape" not in pattern and any(not name.isupper() for name in names):
                yield ast.unparse(call)


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.AST]:
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text()) for file in FILES}


def test_query_names_the_tenant(trees):
    assert {file: found for file, tree in trees.items() if (found := list(unscoped(tree)))} == {}


def test_pattern_escapes_what_is_no_constant(trees):
    found = {file: patterns for file, tree in trees.items() if (patterns := list(data_patterns(tree)))}
    # The numbering plans of the package phonenumbers are patterns themselves.
    assert found.keys() == {"connector_project/core/phone_numbers.py"}


def test_query_without_a_tenant_is_found():
    source = """
def find(command):
    same = Command.objects.filter(employee=command.employee_id)
    return same.filter(state="NEW").exclude(session_id=1)
"""
    assert len(list(unscoped(ast.parse(source)))) == 2
    assert list(data_patterns(ast.parse("re.compile('x'.join(number))"))) != []
