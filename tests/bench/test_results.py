"""What a run of several topics prints and returns."""

import json

import pytest

from tests.bench import results
from tests.bench.figures import Figure
from tests.bench.topic_process import TopicResult


def figure(**values):
    return Figure(**{"name": "webhooks", "variant": "SQLite", "value": 600.0, "unit": "/s"} | values)


REACHED = figure(limit=1000.0, limit_name="minimal view", target=0.5, wanted="at least")
MISSED = figure(name="p99", value=70.0, unit="ms", target=60.0)
WITHOUT = figure(name="CPU", value=3.5, unit="ms")


def cells(results_of_run):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in results.table(results_of_run).splitlines()]


def test_table_has_a_line_for_each_figure():
    head, rule, *lines = cells([TopicResult("ingest", [REACHED, MISSED]), TopicResult("cost", [WITHOUT])])
    assert head == ["figure", "on", "value", "limit of the same run", "ratio", "target", ""]
    assert {*"".join(rule)} == {"-"}
    assert lines == [
        ["webhooks", "SQLite", "600 /s", "1,000 /s (minimal view)", "0.60", "at least 0.5", "pass"],
        ["p99", "SQLite", "70 ms", "", "", "at most 60", "miss"],
        ["CPU", "SQLite", "3.5 ms", "", "", "", ""],
    ]


def test_table_keeps_what_a_topic_measured_before_its_problem():
    lines = cells([TopicResult("ingest", [REACHED], missing="redis-server is | not installed")])[2:]
    assert lines[0][0] == "webhooks"
    assert lines[1] == ["ingest", "", "not measured", "redis-server is / not installed", "", "", ""]


@pytest.mark.parametrize(("limit", "expected"), [(1200.0, True), (1201.0, False), (None, True)])
def test_target_compares_the_ratio_and_without_a_limit_the_value(limit, expected):
    assert figure(limit=limit, target=0.5, wanted="at least").is_met is expected


def test_summary_names_what_is_missed_and_what_is_not_measured():
    run = [TopicResult("ingest", [REACHED, MISSED, WITHOUT], seconds=90.0), TopicResult("rings", missing="no redis")]
    text = results.summary(run)
    assert "1 of 2 targets reached" in text
    assert "missed: p99 (SQLite)" in text
    assert "not measured: rings: no redis" in text
    assert "1.5 minutes" in text


@pytest.mark.parametrize(
    ("result", "status", "strict_status"),
    [
        (TopicResult("ingest", [REACHED, WITHOUT]), 0, 0),
        (TopicResult("ingest", [REACHED, MISSED]), 0, 1),
        (TopicResult("ingest", missing="no redis"), 0, 1),
        (TopicResult("ingest", [REACHED], failure="ValueError"), 1, 1),
    ],
)
def test_exit_status(result, status, strict_status):
    assert results.exit_status([result], is_strict=False) == status
    assert results.exit_status([result], is_strict=True) == strict_status


def test_json_has_a_line_for_each_figure_and_problem(tmp_path):
    path = tmp_path / "figures.jsonl"
    results.write_json(path, [TopicResult("ingest", [REACHED], missing="no redis")])
    written, problem = [json.loads(line) for line in path.read_text().splitlines()]
    assert (written["topic"], written["ratio"], written["is_met"]) == ("ingest", 0.6, True)
    assert problem == {"topic": "ingest", "not_measured": "no redis"}


def test_docs_get_the_table_of_their_run(tmp_path):
    page = tmp_path / "performance.md"
    page.write_text("a\n<!-- tests.bench -->\nold\n<!-- /tests.bench -->\nb\n")
    results.write_docs(page, [TopicResult("ingest", [REACHED])], is_large=False)
    assert page.read_text().startswith("a\n<!-- tests.bench -->\n\n| figure")
    assert page.read_text().endswith("|\n\n<!-- /tests.bench -->\nb\n")
    assert "old" not in page.read_text()
    with pytest.raises(ValueError, match="no place"):
        results.write_docs(page, [], is_large=True)
