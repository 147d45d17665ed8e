"""What the benchmarks measure: each topic is a module with `measure()`, and prepares and removes all that it needs."""

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from tests.bench.figures import Figure

MINUTE = 60.0


@dataclass(frozen=True)
class Topic:
    """A module of this package. A large one fills a database with rows: its `measure` takes their number."""

    name: str
    is_large: bool = False

    @property
    def is_there(self) -> bool:
        return find_spec(self._module) is not None

    @property
    def limit_seconds(self) -> float:
        """The time after which it is ended: by far more than it takes."""
        return 60 * MINUTE if self.is_large else 10 * MINUTE

    @property
    def _module(self) -> str:
        return f"tests.bench.{self.name}"

    def measure(self, *, rows: int) -> Iterable[Figure]:
        """Measure. Raises Missing without a program or server that it needs."""
        found: Iterable[Figure]
        module = importlib.import_module(self._module)
        found = module.measure(rows) if self.is_large else module.measure()
        return found


_ALL = (
    Topic("ingest"),
    Topic("pools"),
    Topic("rings"),
    Topic("whole_call"),
    Topic("drain"),
    Topic("two_machines"),
    Topic("idle"),
    Topic("points"),
    Topic("pages", is_large=True),
    Topic("preview", is_large=True),
)
TOPICS = tuple(topic for topic in _ALL if topic.is_there)


class UnknownTopic(Exception):
    """No topic has this name; the message lists the names."""


def choose(names: Sequence[str], *, is_large: bool) -> list[Topic]:
    """Return the topics of these names in the order of the table; without names all large ones, or all others.

    Raises UnknownTopic.
    """
    known = [topic.name for topic in TOPICS]
    if unknown := sorted({*names} - {*known}):
        raise UnknownTopic(f"unknown topic {', '.join(unknown)}; there are: {', '.join(known)}")
    if not names:
        return [topic for topic in TOPICS if topic.is_large == is_large]
    return [topic for topic in TOPICS if topic.name in names]
