"""Replays stored calls and pop-ups under the versions of the rules that decided them; they must equal what was sent."""

from collections import Counter
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connector_project.core import local_dates
from connector_project.operations import replays
from connector_project.operations.management.base import JsonCommand
from crm.decisions import Loader, Status
from tenants import retention
from tenants.replay import Difference, Outcome


class Command(JsonCommand):
    help = (
        "Replay the calls and pop-ups of a client under the versions of the rules that decided them, and compare them "
        "with what was sent. Nothing is sent or stored. Exit 1 if anything differs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the short name")
        parser.add_argument("--since", default="", help="for example 2026-11-01; by default all that is kept")
        parser.add_argument("--till", default="", help="the same; this moment is not part of the period")

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant, now = self.tenant(options["tenant"]), timezone.now()
        first = retention.first_day(tenant, now=now) - local_dates.DAY
        since = options["since"] or first.isoformat()
        begins, ends = self.period(tenant, since=since, till=options["till"] or (now + local_dates.DAY).isoformat())
        loader, counts = Loader(tenant), Counter[str]()
        for kind in replays.KINDS:
            for one in replays.load_each(loader, kind, since=begins, till=ends):
                found = replays.unfaithful(loader, one)
                counts[_COUNTED[one.status] if found is None else "different"] += 1
                if found is not None:
                    self.print_json(kind=kind, id=one.pk, differences=_lines(found))
        totals = {name: counts[name] for name in (*_COUNTED.values(), "different")}
        self.print_json(tenant=tenant.slug, **totals)
        if counts["different"]:
            self.fail(f"{counts['different']} decisions differ from what was sent.")


_COUNTED = {Status.DECIDED: "same", Status.OPEN: "undecided", Status.GONE: "gone"}


def _lines(found: Difference) -> list[str]:
    """Return the names of what differs: values may have numbers."""
    if found.changes:
        return [change.name for change in found.changes]
    return [f"{_in_short(found.before)} → {_in_short(found.after)}"]


def _in_short(outcome: Outcome) -> str:
    return outcome.skip_reason or outcome.asked or "sent"
