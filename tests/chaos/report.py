"""The output of a run: the reconciliation of each client, the faults that took effect, the differences."""

from tests.chaos import reconciliation
from tests.chaos.run import Outcome
from tests.chaos.runner import list_met


def full(outcome: Outcome) -> str:
    """Return the full report."""
    lines = [
        f"seed {outcome.seed}",
        reconciliation.HEAD,
        *map(str, outcome.lines),
        str(reconciliation.total(outcome.lines)),
        "",
    ]
    lines += [list_met(outcome.met), ""]
    lines += [f"differences: {len(outcome.differences)}", *[f"  {line}" for line in outcome.differences]]
    return "\n".join(lines)


def line(outcome: Outcome, *, seconds: float) -> str:
    """Return one line, with the differences under it."""
    total = reconciliation.total(outcome.lines)
    counts = " ".join(f"{name}={total.counts[name]}" for name in reconciliation.COLUMNS)
    faults = sum(outcome.met.values()) - outcome.met["notifications"] - outcome.met["tasks"]
    head = f"seed {outcome.seed}: {'ok  ' if not outcome.differences else 'DIFF'} {counts}"
    head += f" longest_delay={total.longest_delay:.0f} faults={faults} ({seconds:.0f} s)"
    return "\n".join([head, *[f"  {line}" for line in outcome.differences]])
