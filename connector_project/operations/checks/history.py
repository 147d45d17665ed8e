"""Since when a check fails, and whether it was fine before: pure functions over the stored results of two runs."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from connector_project.core.check_results import CheckResult

# They say nothing about the settings, and the checks that need an answer have no result.
UNAVAILABLE = frozenset({"UIS_ANSWERS", "CRM_ANSWERS"})

Failing = dict[str, dict[str, Any]]  # by code: since, how many runs, whether it was fine before


def update(
    failing: Mapping[str, Any], results: Iterable[Mapping[str, Any]], found: Iterable[CheckResult], *, now: datetime
) -> Failing:
    """Return the failing checks after a run; `failing` and `results` are those stored by the run before.

    A check without a result is unknown while a vendor is away; otherwise it is no longer made.
    """
    passed = {row.get("check") for row in results if row.get("ok")}
    verdicts = {one.check.code: one.ok for one in found}
    is_away = any(verdicts.get(code) is False for code in UNAVAILABLE)
    updated: Failing = {code: entry for code, entry in failing.items() if is_away and code not in verdicts}
    for code, ok in verdicts.items():
        if not ok:
            first: dict[str, Any] = {"since": now.isoformat(), "runs": 0, "was_ok": code in passed}
            entry = failing.get(code) or first
            updated[code] = {**entry, "runs": entry["runs"] + 1}
    return updated
