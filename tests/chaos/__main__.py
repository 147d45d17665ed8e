"""python -m tests.chaos [SEED | FIRST-LAST] [--shops 20] [--calls 12] [--jobs 2]: exit 1 on any difference."""

import argparse
import os
import sys

from tests.chaos.runner import Asked, play_all


def main(arguments: list[str]) -> int:
    """Play the seeds; print one ledger whole, many with a line each."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("seeds", nargs="?", default="1")
    parser.add_argument("--shops", type=int, default=20)
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    said = parser.parse_args(arguments)
    first, _, last = said.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    asked = [Asked(seed, said.shops, said.calls, said.minutes, is_whole=len(seeds) == 1) for seed in seeds]
    is_well = True
    for text, is_one_well in play_all(asked, jobs=said.jobs):
        print(text, flush=True)  # noqa: T201 -- for the terminal
        is_well = is_well and is_one_well
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
