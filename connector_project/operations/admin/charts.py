"""Statistics as tables: the page shows a table, a script draws a chart from it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.urls import reverse
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from crm.popup_stats import LatencyStats, PopupStats
from telephony.reconciliation.stats import ReconciliationStats
from telephony.stats import Calls, OutcomeCounts, StatsRow, percent


@dataclass(frozen=True)
class Column:
    """A column. `css_class` is its colour in the chart; without one it is only in the table."""

    label: Text
    css_class: str = ""


@dataclass(frozen=True)
class Cell:
    """A value: as text, and as a number for the chart."""

    shown: str
    value: float | None


@dataclass(frozen=True)
class Row:
    label: str
    cells: Sequence[Cell]
    href: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    name: str
    title: Text
    description: Text
    kind: str  # "stack", "lines", "across" (horizontal stack) or "shares" (horizontal percentages)
    of: Text  # what a row is
    columns: Sequence[Column]
    rows: Sequence[Row]


_TALLY = (
    ("uploaded", Column(pgettext_lazy("calls", "uploaded"), "good")),
    ("skipped", Column(pgettext_lazy("calls", "skipped by a rule"), "quiet")),
    ("waiting", Column(_("waiting"), "warn")),
    ("failed", Column(_("failed"), "bad")),
    ("unexplained", Column(_("unexplained"), "worst")),
)
_ANSWERED, _MISSED = Column(pgettext_lazy("calls", "answered"), "good"), Column(pgettext_lazy("calls", "missed"), "bad")
_ENDS = (
    ("answered", _ANSWERED),
    ("missed", _MISSED),
    ("reached", Column(_("outgoing, answered"), "other")),
    ("not_reached", Column(_("outgoing, no answer"), "pale")),
    ("unknown", Column(_("not known yet"), "quiet")),
)
_SHARE_ANSWERED = Column(_("answer rate"))
_SHARE_DELIVERED = Column(_("delivery rate"))


def delivered(by_day: Mapping[date, ReconciliationStats]) -> Chart:
    return Chart(
        name="delivered",
        title=_("Delivery by day"),
        description=_(
            "Calls in UIS's report, from the daily reconciliation. Delivered: uploaded calls as a share of those "
            "that no rule skips."
        ),
        kind="stack",
        of=_("day"),
        columns=[Column(_("calls in UIS")), *(column for _name, column in _TALLY), _SHARE_DELIVERED],
        rows=[Row(_day(day), _tally_cells(tally)) for day, tally in by_day.items()],
    )


def ended(by_day: Mapping[date, OutcomeCounts]) -> Chart:
    return Chart(
        name="ended",
        title=_("How the calls ended, by day"),
        description=_("All known calls with customers, without internal calls."),
        kind="stack",
        of=_("day"),
        columns=[*(column for _name, column in _ENDS), _SHARE_ANSWERED],
        rows=[
            Row(_day(day), [*(_count(getattr(ends, name)) for name, _column in _ENDS), _answered(ends)])
            for day, ends in by_day.items()
        ],
    )


def by_hour(calls: Calls) -> Chart:
    return Chart(
        name="hours",
        title=_("Missed calls by hour"),
        description=_("Incoming calls by the hour of their start."),
        kind="stack",
        of=_("hour"),
        columns=[_MISSED, _ANSWERED, _SHARE_ANSWERED],
        rows=[
            Row(f"{hour:02}:00", [_count(ends.missed), _count(ends.answered), _answered(ends)])
            for hour, ends in calls.by_hour.items()
        ],
    )


def by_employee(people: Iterable[StatsRow]) -> Chart:
    return Chart(
        name="people",
        title=_("Who answers"),
        description=_("Incoming calls by owner under the client's rules, busiest first."),
        kind="across",
        of=_("employee"),
        columns=[_ANSWERED, _MISSED, _SHARE_ANSWERED],
        rows=[
            Row(
                row.name or gettext("nobody"),
                [_count(row.outcomes.answered), _count(row.outcomes.missed), _answered(row.outcomes)],
            )
            for row in people
        ],
    )


def by_client(clients: Iterable[StatsRow]) -> Chart:
    return Chart(
        name="clients",
        title=_("Clients"),
        description=_("Lowest delivery rate first."),
        kind="shares",
        of=_("client"),
        columns=[
            Column(_("delivery rate, %"), "good"),
            Column(_("answer rate, %"), "other"),
            *(Column(_("calls in UIS")), _ANSWERED, _MISSED),
        ],
        rows=[_tenant_row(row) for row in clients],
    )


def popups(by_day: Mapping[date, LatencyStats]) -> Chart:
    drawn: Sequence[tuple[Column, Callable[[LatencyStats], float | None]]] = (
        (Column(_("median, s"), "good"), lambda speed: speed.median),
        (Column(_("95th percentile, s"), "warn"), lambda speed: speed.p95),
        (Column(_("maximum, s"), "bad"), lambda speed: speed.worst),
    )
    return Chart(
        name="popups",
        title=_("From ring to pop-up, by day"),
        description=_("From the ring, by UIS's clock, until the CRM accepts the pop-up."),
        kind="lines",
        of=_("day"),
        columns=[*(column for column, _get in drawn), Column(_("pop-ups"))],
        rows=[
            Row(_day(day), [*(_seconds(get(speed)) for _column, get in drawn), _count(speed.count)])
            for day, speed in by_day.items()
        ],
    )


def steps(stats: PopupStats) -> Chart:
    return Chart(
        name="steps",
        title=_("Pop-ups by speed"),
        description=_("Each pop-up once, by the time from ring to pop-up."),
        kind="stack",
        of=_("time"),
        columns=[Column(_("pop-ups"), "other"), Column(_("share"))],
        rows=[
            Row(_step(edge), [_count(count), _percent(count, stats.total.count)])
            for edge, count in stats.histogram.items()
        ],
    )


def _tenant_row(row: StatsRow) -> Row:
    shares = [_percent(row.tally.uploaded, row.tally.due), _answered(row.outcomes)]
    counts = [_count(row.tally.uis_calls), _count(row.outcomes.answered), _count(row.outcomes.missed)]
    return Row(row.name, [*shares, *counts], href=reverse("admin:tenants_tenant_statistics", args=[row.pk]))


def _tally_cells(tally: ReconciliationStats) -> list[Cell]:
    counts = [_count(tally.uis_calls), *(_count(getattr(tally, name)) for name, _column in _TALLY)]
    return [*counts, _percent(tally.uploaded, tally.due)]


def _answered(ends: OutcomeCounts) -> Cell:
    return _percent(ends.answered, ends.incoming)


def _day(day: date) -> str:
    return date_format(day, "j E")


def _step(edge: float | None) -> str:
    if edge is None:
        return gettext("longer")
    return gettext("up to %(seconds)s s") % {"seconds": number_format(edge)}


def _count(count: int) -> Cell:
    return Cell(str(count), count)


def _percent(part: int, whole: int) -> Cell:
    share = percent(part, whole)
    return Cell("", None) if share is None else Cell(format_percent(part, whole), share)


def _seconds(seconds: float | None) -> Cell:
    return Cell("", None) if seconds is None else Cell(_hundredths(seconds), round(seconds, 2))


def format_percent(part: int, whole: int) -> str:
    """Return a share as text; a dash for a share of nothing."""
    share = percent(part, whole)
    return "–" if share is None else f"{number_format(share, 1)} %"


def format_seconds(seconds: float | None) -> str:
    """Return a duration as text; a dash for None."""
    if seconds is None:
        return "–"
    return gettext("%(seconds)s s") % {"seconds": _hundredths(seconds)}


def _hundredths(seconds: float) -> str:
    return number_format(round(seconds, 2), 2)  # number_format truncates.
