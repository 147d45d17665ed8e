"""docs/performance.md names every figure of the benchmarks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent
PAGE = BENCH.parents[1] / "docs" / "performance.md"
MODULES = sorted(path for path in BENCH.glob("*.py") if not path.name.startswith("test_"))


def name_patterns(source: str) -> Iterator[str]:
    """Yield a pattern for the name of each figure that a module makes, by `Figure` or by a function that returns one.

    What a text has filled in matches anything.
    """
    nodes = list(ast.walk(ast.parse(source)))
    makers = {"Figure"} | {
        node.name for node in nodes if isinstance(node, ast.FunctionDef) and _name_of(node.returns) == "Figure"
    }
    texts = {
        target.id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in (node for node in nodes if isinstance(node, ast.Call) and _name_of(node.func) in makers):
        named = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
        for name in [*named, *call.args][:1]:
            if pattern := _pattern(name, texts):
                yield pattern


def _name_of(node: ast.expr | None) -> str:
    """Return the name of a function or class, also of a method."""
    return getattr(node, "id", "") or getattr(node, "attr", "")


def _pattern(node: ast.expr, texts: dict[str, ast.expr]) -> str:
    """Return a pattern for a text; empty for the argument of a function, whose callers name the figure."""
    match node:
        case ast.Name(id=name) if name in texts:
            return _pattern(texts[name], texts)
        case ast.JoinedStr(values=parts):
            return "".join(_pattern(part, texts) or ".+?" for part in parts)
        case ast.FormattedValue(value=value):
            return _pattern(value, texts)
        case ast.Constant(value=str() as text):
            return re.escape(text)
    return ""


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_every_figure_is_in_the_docs(module):
    page = PAGE.read_text(encoding="utf-8")
    patterns = name_patterns(module.read_text(encoding="utf-8"))
    assert [pattern for pattern in patterns if not re.search(rf"\| {pattern} *\|", page)] == []


def test_figures_of_the_largest_topics_are_found():
    for name in ("rings", "whole_call", "call_log", "statistics"):
        assert list(name_patterns((BENCH / f"{name}.py").read_text(encoding="utf-8"))), name


def test_names_are_found_in_calls_functions_and_variables():
    source = """
class Bench:
    def compared(self, what, values) -> Figure:
        return Figure(name=what, value=max(values))
name = f"pages of {who}"
Figure(name="one", target=1); bench.compared("two of 3", []); Figure(name=name); Figure(name=f"{name}: {use}")
other(name="none")
"""
    found = [pattern.replace("\\", "") for pattern in name_patterns(source)]
    assert sorted(found) == ["one", "pages of .+?", "pages of .+?: .+?", "two of 3"]
