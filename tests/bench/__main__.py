"""Measures the topics, and prints one table: figure, limit of the same run, ratio, target, pass or miss.

Without topics: all but those that fill a database with rows; with --large: those. Exit status: 0, although targets are
missed; 1 if a topic failed, with --strict also for a missed target or a topic that could not be measured; 2 for a wrong
argument.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench import results, topics
from tests.bench.topic_process import TopicResult, measure
from tests.bench.topics import TOPICS, Topic, UnknownTopic
from tests.simulator.processes import ROOT

INTERRUPTED = 130
DOCS = ROOT / "docs" / "performance.md"


def main(arguments: Sequence[str]) -> int:
    """Measure and print; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.docs and options.topics:
        parser.error("--docs shows all topics, not some")
    try:
        chosen = topics.choose(options.topics, is_large=options.large)
    except UnknownTopic as exc:
        parser.error(str(exc))
    try:
        found = [_measure(topic, rows=options.rows) for topic in chosen]
    except KeyboardInterrupt:
        _say("\ninterrupted; the databases and processes of the topic are removed")
        return INTERRUPTED
    _say(f"\n{results.table(found)}\n\n{results.summary(found)}")
    if options.json:
        results.write_json(options.json, found)
    if options.docs:
        results.write_docs(DOCS, found, is_large=options.large)
    return results.exit_status(found, is_strict=options.strict)


def _parser() -> argparse.ArgumentParser:
    described, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=described, epilog=epilog)
    names = ", ".join(topic.name for topic in TOPICS)
    parser.add_argument("topics", nargs="*", metavar="topic", help=names)
    parser.add_argument("--large", action="store_true", help="the topics that fill a database with rows")
    parser.add_argument("--rows", type=int, default=1_000_000, help="the number of rows for these topics")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each figure as a line of JSON")
    parser.add_argument("--docs", action="store_true", help="replace the table of docs/performance.md")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for each target that is missed")
    return parser


def _measure(topic: Topic, *, rows: int) -> TopicResult:
    _say(f"{topic.name} …")
    result = measure(topic, rows=rows)
    _say(f"{topic.name}: {len(result.figures)} figures, {result.seconds:.0f} s")
    if result.traceback:
        print(result.traceback, file=sys.stderr)  # noqa: T201 -- for the terminal
    return result


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 -- for the terminal


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
