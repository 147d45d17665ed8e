"""Which topics there are, and how one is measured in a process of its own."""

import dataclasses
import importlib
import inspect

import pytest

from tests.bench import topic_process
from tests.bench.__main__ import main
from tests.bench.figures import Figure
from tests.bench.topics import TOPICS, Topic, UnknownTopic, choose
from tests.processes.servers import Missing

NAMES = [topic.name for topic in TOPICS]


@pytest.mark.parametrize("topic", TOPICS, ids=NAMES)
def test_topic_has_a_function_that_measures(topic):
    measure = importlib.import_module(f"tests.bench.{topic.name}").measure
    assert list(inspect.signature(measure).parameters) == (["rows"] if topic.is_large else [])


def test_topics_are_chosen_by_name_or_by_size():
    assert choose(["rings", "ingest"], is_large=False) == [Topic("ingest"), Topic("rings")]
    assert [topic.name for topic in choose([], is_large=True)] == [topic.name for topic in TOPICS if topic.is_large]
    assert {*choose([], is_large=False)} | {*choose([], is_large=True)} == {*TOPICS}


def test_unknown_topic_is_refused_with_the_names_of_all(capsys):
    with pytest.raises(UnknownTopic, match="ingest"):
        choose(["ingest", "speed"], is_large=False)
    with pytest.raises(SystemExit) as exit_:
        main(["speed"])
    assert exit_.value.code == 2
    assert "unknown topic speed" in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class FakeTopic(Topic):
    """Measures one figure, then ends in some way; writes into a file that it removed what it had made."""

    end: str = ""
    path: str = ""

    def measure(self, *, rows):
        try:
            yield Figure(name="rows", variant="SQLite", value=rows, unit="rows")
            if self.end == "missing":
                raise Missing("redis-server is not installed")
            if self.end == "fails":
                raise ValueError("line one\nline two")
            if self.end == "dies":
                raise SystemExit(3)
        finally:
            with open(self.path, "a") as log:
                log.write("removed\n")


@pytest.fixture
def play(tmp_path):
    """Measure a topic that ends in some way; return its result."""

    def measure(end):
        path = tmp_path / "log"
        result = topic_process.measure(FakeTopic("fake", end=end, path=str(path)), rows=7)
        assert path.read_text() == "removed\n"
        assert [figure.value for figure in result.figures] == [7]
        return result

    return measure


@pytest.mark.slow
def test_figures_come_from_another_process(play):
    result = play("")
    assert (result.problem, result.seconds > 0) == ("", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "problem"),
    [
        ("missing", "redis-server is not installed"),
        ("fails", "ValueError: line one"),
        ("dies", "the process ended before it had measured all"),
    ],
)
def test_problem_is_told_beside_the_figures_measured_before(play, end, problem):
    result = play(end)
    assert result.problem == problem
    assert bool(result.failure) == (end != "missing")


@pytest.mark.slow
def test_interrupted_topic_removes_what_it_made(tmp_path, monkeypatch):
    def interrupt(receiver, _topic):
        receiver.recv()
        raise KeyboardInterrupt

    monkeypatch.setattr(topic_process, "_receive", interrupt)
    path = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        topic_process.measure(SleepingTopic("fake", path=str(path)), rows=7)
    assert path.read_text() == "removed\n"


class SleepingTopic(FakeTopic):
    def measure(self, *, rows):
        import time

        try:
            yield Figure(name="rows", variant="SQLite", value=rows, unit="rows")
            time.sleep(60)
        finally:
            with open(self.path, "a") as log:
                log.write("removed\n")
