"""python -m tests.chaos [SEED | FIRST-LAST] [--tenants 8] [--calls 12] [--jobs 2]: exit 1 on any difference."""

import argparse
import os
import sys
from collections import Counter

from tests.chaos.runner import Job, add_met, list_met, play_all


def main(arguments: list[str]) -> int:
    """Play the seeds; print one seed in full, several with one line each."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("seeds", nargs="?", default="1")
    parser.add_argument("--tenants", type=int, default=8)
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    jobs_to_run = [
        Job(seed, options.tenants, options.calls, options.minutes, is_full=len(seeds) == 1) for seed in seeds
    ]
    passed, met = True, Counter[str]()
    for text, is_passed, met_by_seed in play_all(jobs_to_run, jobs=options.jobs):
        print(text, flush=True)  # noqa: T201 -- for the terminal
        passed = passed and is_passed
        add_met(met, met_by_seed)
    if len(seeds) > 1:
        print(list_met(met))  # noqa: T201 -- for the terminal
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
