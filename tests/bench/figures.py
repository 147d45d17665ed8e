"""What a benchmark measured, beside the limit of the same run and the target of the ratio."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table: a measured value and a limit in the same unit.

    The ratio is `value / limit`. Without a limit the value itself is compared with the target.
    """

    name: str
    variant: str  # "SQLite", "PostgreSQL + Redis"
    value: float
    unit: str
    limit: float | None = None
    limit_name: str = ""  # what the limit is, in a few words
    target: float | None = None  # None: reported only
    wanted: Literal["at least", "at most"] = "at most"

    @property
    def ratio(self) -> float:
        return self.value if self.limit is None else self.value / self.limit

    @property
    def is_met(self) -> bool:
        """Return whether the target is reached; true where there is none."""
        if self.target is None:
            return True
        return self.ratio >= self.target if self.wanted == "at least" else self.ratio <= self.target


HEAD = ("figure", "on", "value", "limit of the same run", "ratio", "target", "")


@dataclass(frozen=True)
class NotMeasured:
    """A line of the table for a topic that could not be measured, or not all of it."""

    name: str
    reason: str


def table(lines: Iterable[Figure | NotMeasured]) -> str:
    """Return the lines as a Markdown table."""
    return _align([HEAD, *(_cells(line) for line in lines)])


def _align(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _cells(figure: Figure | NotMeasured) -> tuple[str, ...]:
    if isinstance(figure, NotMeasured):
        return figure.name, "", "not measured", figure.reason.replace("|", "/"), "", "", ""
    limit = "" if figure.limit is None else f"{_number(figure.limit)} {figure.unit} ({figure.limit_name})"
    ratio = "" if figure.limit is None else f"{figure.ratio:.2f}"
    target = "" if figure.target is None else f"{figure.wanted} {_number(figure.target)}"
    verdict = "" if figure.target is None else ("pass" if figure.is_met else "miss")
    return figure.name, figure.variant, f"{_number(figure.value)} {figure.unit}", limit, ratio, target, verdict


def _line(cells: Iterable[str], widths: list[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
