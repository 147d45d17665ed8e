"""Counts what a draft would change in stored decisions, as the JSON that a preview stores. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crm.decisions import Decided, Status
from tenants.replay import Difference

MOST_SAMPLES = 50
# More calls would be skipped than usual: by more than these points of the share, and by so many calls at least.
POINTS, CALLS = 10, 5
_OF = {"call": "call", "popup": "popup", "ring": "popup"}  # rings without a pop-up count with the pop-ups


@dataclass(frozen=True)
class Share:
    """How many of the decided calls of a period are skipped: by the versions of then, and by a draft."""

    decided: int
    before: int
    after: int

    @property
    def is_unusual(self) -> bool:
        more = self.after - self.before
        return more >= CALLS and 100 * more > POINTS * self.decided


def add(result: Mapping[str, Any], kind: str, found: Iterable[tuple[Decided, Difference | None]]) -> dict[str, Any]:
    """Return a result with a portion more; the difference is None where there is no decision to replay."""
    name = _OF[kind]
    counted, samples = dict(result.get(name, {})), list(result.get("samples", []))
    counts = Counter[str](counted.get("counts", {}))
    fields, skipped = Counter[str](counted.get("fields", {})), Counter[str](counted.get("skipped_by", {}))
    asked = Counter[str](counted.get("asked", {}))
    for one, difference in found:
        if difference is None:
            counts["gone" if one.status == Status.GONE else "undecided"] += 1
            continue
        _count(counts, fields, skipped, asked, difference)
        if not difference.is_same and len(samples) < MOST_SAMPLES:
            samples.append([kind, one.pk])
    parts = {"counts": counts, "fields": fields, "skipped_by": skipped, "asked": asked}
    return {**result, name: {part: dict(sorted(values.items())) for part, values in parts.items()}, "samples": samples}


def _count(
    counts: Counter[str], fields: Counter[str], skipped: Counter[str], asked: Counter[str], difference: Difference
) -> None:
    before, after = difference.before, difference.after
    counts["decided"] += 1
    counts["skipped_before"] += bool(before.skip_reason)
    counts["skipped_after"] += bool(after.skip_reason)
    if difference.is_same:
        counts["same"] += 1
    elif after.asked:
        asked[after.asked] += 1
    elif after.skip_reason:
        counts["skipped" if before.is_sent else "otherwise_skipped"] += 1
        skipped[after.skip_reason] += 1
    elif before.skip_reason:
        counts["sent"] += 1
    else:
        counts["changed"] += 1
        fields.update(change.name for change in difference.changes)


def share_of(result: Mapping[str, Any]) -> Share:
    """Return how many calls are skipped by a result."""
    counts = result.get("call", {}).get("counts", {})
    return Share(*(counts.get(name, 0) for name in ("decided", "skipped_before", "skipped_after")))
