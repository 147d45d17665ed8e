"""The product's reconciliation, as its command prints it, compared with the vendors; and the table of both."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from io import StringIO

from django.core.management import CommandError, call_command

from telephony.models import Call
from tests.chaos.observed import Accepted
from tests.chaos.scenario import GroundTruth
from tests.chaos.tenants import ChaosTenant

COLUMNS = ("uis_calls", "uploaded", "skipped", "waiting", "failed", "unexplained", "recovered")


@dataclass(frozen=True)
class Line:
    slug: str
    counts: dict[str, int]
    longest_delay: float  # seconds from the end of a call to the CRM's acceptance

    def __str__(self) -> str:
        counts = " ".join(f"{self.counts[name]:>11}" for name in COLUMNS)
        return f"{self.slug:<10}{counts} {self.longest_delay:>14.0f}"


HEAD = "tenant    " + " ".join(f"{name:>11}" for name in COLUMNS) + "  longest delay, s"


def reconcile(tenant: ChaosTenant, *, since: datetime, till: datetime) -> dict[str, int]:
    """Run the product's command for the whole period; return its counts."""
    out = StringIO()
    period = ["--from", since.isoformat(), "--till", till.isoformat()]
    call_command("reconcile_calls", "--tenant", tenant.slug, *period, stdout=out, stderr=StringIO())
    printed = json.loads(out.getvalue())
    return {name: int(printed[name]) for name in COLUMNS}


def build_lines(
    tenants: list[ChaosTenant], truth: GroundTruth, accepted: dict[tuple[int, str], Accepted], **period: datetime
) -> list[Line]:
    """Return every client's line. Raises CommandError if the command fails."""
    return [Line(tenant.slug, reconcile(tenant, **period), _longest(tenant, truth, accepted)) for tenant in tenants]


def total(lines: list[Line]) -> Line:
    """Return the sum of the lines."""
    counts = {name: sum(line.counts[name] for line in lines) for name in COLUMNS}
    return Line("total", counts, max((line.longest_delay for line in lines), default=0))


def differences(
    lines: list[Line], tenants: list[ChaosTenant], truth: GroundTruth, *, poisoned: Collection[tuple[int, int]] = ()
) -> Iterator[str]:
    """Yield the differences between the product's reconciliation and the vendors."""
    for line, tenant in zip(lines, tenants, strict=True):
        unreadable = {session_id for order, session_id in poisoned if order == tenant.order}
        failed = Call.objects.filter(tenant=tenant.row, session_id__in=unreadable, failed_at__isnull=False)
        # One that failed may have been sent before.
        external_ids = {f"uis-{session_id}" for session_id in failed.values_list("session_id", flat=True)}
        uploaded = sum(record.get("externalId") not in external_ids for record in tenant.crm.calls)
        expected = {"uis_calls": len(list(truth.calls_of(tenant))), "uploaded": uploaded}
        expected |= {"waiting": 0, "failed": len(external_ids), "unexplained": 0}
        for name, value in expected.items():
            if line.counts[name] != value:
                yield f"{line.slug} reconciliation: {name} is {line.counts[name]}, not {value}"


def _longest(tenant: ChaosTenant, truth: GroundTruth, accepted: dict[tuple[int, str], Accepted]) -> float:
    delays = [
        (accepted[key].at - scenario.ended_at).total_seconds()
        for scenario in truth.calls_of(tenant)
        if (key := (tenant.order, f"uis-{scenario.session.session_id}")) in accepted
    ]
    return max(delays, default=0)


__all__ = ["COLUMNS", "HEAD", "CommandError", "Line", "build_lines", "differences", "reconcile", "total"]
