"""The outcome of a run of several topics: table, summary, JSON lines, exit status."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench import figures
from tests.bench.figures import Figure, NotMeasured
from tests.bench.topic_process import TopicResult


def table(results: Sequence[TopicResult]) -> str:
    """Return all figures as one Markdown table; a topic with a problem has a line that says which."""
    return figures.table(_lines(results))


def summary(results: Sequence[TopicResult]) -> str:
    """Return how many targets are reached, which are not, and how long it took."""
    with_target = [figure for result in results for figure in result.figures if figure.target is not None]
    missed = [f"{figure.name} ({figure.variant})" for figure in with_target if not figure.is_met]
    lines = [f"{len(with_target) - len(missed)} of {len(with_target)} targets reached"]
    lines += [f"missed: {name}" for name in missed]
    lines += [f"not measured: {result.topic}: {result.problem}" for result in results if result.problem]
    return "\n".join([*lines, f"{sum(result.seconds for result in results) / 60:.1f} minutes"])


def exit_status(results: Sequence[TopicResult], *, is_strict: bool) -> int:
    """Return 1 if a topic failed; if strict, also if a target is missed or something is not measured."""
    if any(result.failure for result in results):
        return 1
    is_short = any(result.problem or not all(figure.is_met for figure in result.figures) for result in results)
    return int(is_strict and is_short)


def write_docs(page: Path, results: Sequence[TopicResult], *, is_large: bool) -> None:
    """Replace the table between the page's marks of this run by the one of these results. Raises ValueError."""
    name = "tests.bench --large" if is_large else "tests.bench"
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    marked = re.compile(rf"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)
    text, count = marked.subn(lambda _match: f"\n{table(results)}\n\n", page.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{page} has no place for the table: {begin}")
    page.write_text(text, encoding="utf-8")


def write_json(path: Path, results: Sequence[TopicResult]) -> None:
    """Write a line for each figure, and for each topic that is not measured."""
    lines = [json.dumps(record, ensure_ascii=False) for result in results for record in _records(result)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(results: Sequence[TopicResult]) -> Iterator[Figure | NotMeasured]:
    for result in results:
        yield from result.figures
        if result.problem:
            yield NotMeasured(result.topic, result.problem)


def _records(result: TopicResult) -> Iterator[dict[str, Any]]:
    for figure in result.figures:
        yield {"topic": result.topic, **asdict(figure), "ratio": figure.ratio, "is_met": figure.is_met}
    if result.problem:
        yield {"topic": result.topic, "not_measured": result.problem}
