"""What a run prints: the ledger of each client, the faults that were met, the differences."""

from tests.chaos import reconciliation
from tests.chaos.run import Outcome


def whole(outcome: Outcome) -> str:
    """Return all of it."""
    said = [
        f"seed {outcome.seed}",
        reconciliation.HEAD,
        *map(str, outcome.lines),
        str(reconciliation.total(outcome.lines)),
        "",
    ]
    said += ["met:", *[f"  {name}: {outcome.met[name]}" for name in sorted(outcome.met)], ""]
    said += [f"differences: {len(outcome.differences)}", *[f"  {line}" for line in outcome.differences]]
    return "\n".join(said)


def line(outcome: Outcome, *, seconds: float) -> str:
    """Return one line, and the differences under it."""
    said = reconciliation.total(outcome.lines)
    counts = " ".join(f"{name}={said.counts[name]}" for name in reconciliation.COLUMNS)
    faults = sum(outcome.met.values()) - outcome.met["notifications"] - outcome.met["tasks"]
    head = f"seed {outcome.seed}: {'ok  ' if not outcome.differences else 'DIFF'} {counts}"
    head += f" longest_delay={said.longest_delay:.0f} faults={faults} ({seconds:.0f} s)"
    return "\n".join([head, *[f"  {line}" for line in outcome.differences]])
