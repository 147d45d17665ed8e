"""Statistics as tables: the page shows a table, a script draws a chart from it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from operator import attrgetter
from typing import Any, Self

from django.urls import reverse
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text


@dataclass(frozen=True)
class Cell:
    """A value: as text, and as a number for the chart."""

    shown: str
    value: float | None


def format_percent(share: float) -> str:
    return f"{number_format(share, 1)} %"


def format_seconds(seconds: float) -> str:
    return gettext("%(seconds)s s") % {"seconds": _hundredths(seconds)}


def _hundredths(seconds: float) -> str:
    return number_format(seconds, 2)


@dataclass(frozen=True)
class Column:
    """A column of figures. `css_class` is its colour in the chart; without one it is only in the table."""

    label: Text
    css_class: str
    figure: str  # the attribute of a row's subject that has it
    formatted: Callable[[float], str] = str

    def cell(self, subject: Any) -> Cell:
        """Return the figure of a row; an empty cell if it is unknown."""
        value = attrgetter(self.figure)(subject)
        return Cell("" if value is None else self.formatted(value), value)


@dataclass(frozen=True)
class Row:
    label: str
    cells: Sequence[Cell]
    href: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    name: str
    title: Text
    description: Text
    kind: str  # "stack", "lines", "across" (horizontal stack) or "shares" (horizontal percentages)
    of: Text  # what a row is
    label: Callable[[Any], str] = str  # of a row, by its key
    href: Callable[[Any], str] = lambda _subject: ""  # the page about a row's subject
    columns: Sequence[Column]
    rows: Sequence[Row] = ()

    def with_rows(self, figures: Iterable[tuple[Any, Any]]) -> Self:
        """Return the chart of these rows: a key, and the subject that has the figures."""
        return replace(
            self,
            rows=[
                Row(self.label(key), [column.cell(subject) for column in self.columns], self.href(subject))
                for key, subject in figures
            ],
        )


def _day(day: date) -> str:
    return date_format(day, "j E")


def _up_to(seconds: float | None) -> str:
    return gettext("up to %(seconds)s s") % {"seconds": number_format(seconds)} if seconds else gettext("longer")


_ANSWERED = Column(pgettext_lazy("calls", "answered"), "good", "answered")
_MISSED = Column(pgettext_lazy("calls", "missed"), "bad", "missed")
_ANSWER_RATE = Column(_("answer rate"), "", "answer_rate", format_percent)
DELIVERED = Chart(
    name="delivered",
    title=_("Delivery by day"),
    description=_(
        "Calls in UIS's report, from the daily reconciliation. Delivered: uploaded calls as a share of those "
        "that no rule skips."
    ),
    kind="stack",
    of=_("day"),
    label=_day,
    columns=(
        Column(_("calls in UIS"), "", "uis_calls"),
        Column(pgettext_lazy("calls", "uploaded"), "good", "uploaded"),
        Column(pgettext_lazy("calls", "skipped by a rule"), "quiet", "skipped"),
        Column(_("waiting"), "warn", "waiting"),
        Column(_("failed"), "bad", "failed"),
        Column(_("unexplained"), "worst", "unexplained"),
        Column(_("delivery rate"), "", "delivery_rate", format_percent),
    ),
)
ENDED = Chart(
    name="ended",
    title=_("How the calls ended, by day"),
    description=_("All known calls with customers, without internal calls."),
    kind="stack",
    of=_("day"),
    label=_day,
    columns=(
        _ANSWERED,
        _MISSED,
        Column(_("outgoing, answered"), "other", "reached"),
        Column(_("outgoing, no answer"), "pale", "not_reached"),
        Column(_("not known yet"), "quiet", "unknown"),
        _ANSWER_RATE,
    ),
)
POPUPS = Chart(
    name="popups",
    title=_("From ring to pop-up, by day"),
    description=_("From the ring, by UIS's clock, until the CRM accepts the pop-up."),
    kind="lines",
    of=_("day"),
    label=_day,
    columns=(
        Column(_("median, s"), "good", "median", _hundredths),
        Column(_("95th percentile, s"), "warn", "p95", _hundredths),
        Column(_("maximum, s"), "bad", "worst", _hundredths),
        Column(_("pop-ups"), "", "count"),
    ),
)
POPUP_STEPS = Chart(
    name="steps",
    title=_("Pop-ups by speed"),
    description=_("Each pop-up once, by the time from ring to pop-up."),
    kind="stack",
    of=_("time"),
    label=_up_to,
    columns=(Column(_("pop-ups"), "other", "count"), Column(_("share"), "", "share", format_percent)),
)
EMPLOYEES = Chart(
    name="people",
    title=_("Who answers"),
    description=_("Incoming calls by owner under the client's rules, busiest first."),
    kind="across",
    of=_("employee"),
    label=lambda name: name or gettext("nobody"),
    columns=(_ANSWERED, _MISSED, _ANSWER_RATE),
)
CLIENTS = Chart(
    name="clients",
    title=_("Clients"),
    description=_("Lowest delivery rate first."),
    kind="shares",
    of=_("client"),
    href=lambda client: reverse("admin:tenants_tenant_statistics", args=[client.pk]),
    columns=(
        Column(_("delivery rate, %"), "good", "tally.delivery_rate", format_percent),
        Column(_("answer rate, %"), "other", "outcomes.answer_rate", format_percent),
        Column(_("calls in UIS"), "", "tally.uis_calls"),
        replace(_ANSWERED, figure="outcomes.answered"),
        replace(_MISSED, figure="outcomes.missed"),
    ),
)
HOURS = Chart(
    name="hours",
    title=_("Missed calls by hour"),
    description=_("Incoming calls by the hour of their start."),
    kind="stack",
    of=_("hour"),
    label="{:02}:00".format,
    columns=(_MISSED, _ANSWERED, _ANSWER_RATE),
)
