"""How many faults among how many calls or pop-ups are a problem."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from connector_project.operations.alerts.rule import Context

# Hours, and the minimum faults and their share in them; the day is for clients with few calls.
FAILURE_PERIODS = ((2, 5, 0.1), (24, 3, 0.2))


def high_failure_rate(failed: Sequence[int], totals: Sequence[int]) -> Context | None:
    """Return the counts of the first period in which enough failed; both arguments have one count for each."""
    for (hours, least, share), count, total in zip(FAILURE_PERIODS, failed, totals, strict=True):
        if count >= least and count >= share * total:
            return {"failed": count, "of": total, "hours": hours}
    return None


def begins(now: Any) -> tuple[Any, Any]:
    """Return when the two periods begin; also for a placeholder."""
    recent, day = (now - timedelta(hours=hours) for hours, _least, _share in FAILURE_PERIODS)
    return recent, day
